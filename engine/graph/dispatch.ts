/** From the kernel tables of `engine/ops/*-variants.ts` to calls of a program. */
import { type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import type { EpilogueText, LowerContext, Slot } from "./kernel.ts";
import { shaderSource } from "./library.ts";

/** What a dispatch binds and does. */
export interface DispatchUse {
  /** Storage buffers 1, 2, … in order. */
  readonly bindings: readonly Slot[];
  readonly flops?: number;
  /** A fused epilogue, and the name of the hook it replaces. */
  readonly epilogue?: EpilogueText;
  readonly hook?: "store" | "store4";
}

/** Emits one dispatch of a hand-written kernel. */
export function emitDispatch(context: LowerContext, dispatch: KernelDispatch, use: DispatchUse): void {
  const { epilogue, hook } = use;
  const own = dispatch.params;
  const extra = epilogue ? paramWords(epilogue.values) : new Uint32Array(0);
  const params = new Uint32Array(own.length + extra.length);
  params.set(own);
  params.set(extra, own.length);
  const fused =
    epilogue && hook
      ? { fields: epilogue.fields, declarations: epilogue.declarations, functions: { [hook]: epilogue.hook } }
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
