/** From the kernel tables of `engine/ops/*-variants.ts` to calls of a program. */
import { ForgeError } from "../error.ts";
import { type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import type { EpilogueText, LowerContext, Slot } from "./kernel.ts";
import { shaderSource } from "./shader-source.ts";

/** What a dispatch binds and does. */
export interface DispatchUse {
  /** Storage buffers 1, 2, … in order. */
  readonly bindings: readonly Slot[];
  readonly flops?: number;
  /** A fused epilogue, and the name of the hook it replaces. */
  readonly epilogue?: EpilogueText;
  readonly hook?: "store" | "store4";
  /** Name of the hook that is to add to the output instead of overwriting it. */
  readonly accumulate?: "store" | "store4";
}

/** Emits one dispatch of a hand-written kernel. */
export function emitDispatch(
  context: LowerContext,
  dispatch: KernelDispatch,
  use: DispatchUse,
): void {
  const { epilogue, hook } = use;
  const own = dispatch.params;
  const extra = epilogue ? paramWords(epilogue.values) : new Uint32Array(0);
  const params = new Uint32Array(own.length + extra.length);
  params.set(own);
  params.set(extra, own.length);
  const { functions } = dispatch.options;
  const fused =
    epilogue && hook
      ? {
          fields: epilogue.fields,
          declarations: epilogue.declarations,
          functions: { ...functions, [hook]: epilogue.hook },
          ...(epilogue.usesF16 ? { usesF16: true } : {}),
        }
      : use.accumulate
        ? {
            functions: {
              ...functions,
              [use.accumulate]: accumulating(dispatch.name, use.accumulate),
            },
          }
        : {};
  context.call({
    label: `${dispatch.name}.wgsl:${dispatch.entry}${epilogue ? "+epilogue" : ""}`,
    name: dispatch.name,
    source: shaderSource(dispatch.name),
    options: { ...dispatch.options, ...fused },
    entry: dispatch.entry,
    bindings: [...use.bindings, ...(epilogue?.bindings ?? [])],
    params,
    grid: dispatch.grid,
    ...(use.flops === undefined ? {} : { flops: use.flops }),
  });
}

/** The file's own hook with `+=` in place of `=`. */
function accumulating(file: string, hook: string): string {
  const own = new RegExp(`^fn ${hook}\\b[\\s\\S]*?^\\}`, "m").exec(shaderSource(file))?.[0] ?? "";
  const adding = own.replace("] = ", "] += ");
  if (adding === own) {
    throw new ForgeError({
      code: "internal",
      what: `hook ${hook} of ${file}.wgsl does not end in an assignment.`,
    });
  }
  return adding;
}
