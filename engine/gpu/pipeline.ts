/**
 * Compute pipelines: one per distinct (text, entry point), built asynchronously, cached for the life of the device.
 */
import { ForgeError } from "../error.ts";
import { STAGE_COMPUTE } from "./constants.ts";
import { waitGently } from "./polling.ts";

/** How one binding of group 0 is declared in the text. */
export type BindingKind = "uniform" | "read" | "read_write";

/** A compiled kernel. */
export interface Pipeline {
  readonly label: string;
  readonly gpu: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Kind of each binding, by number; `undefined` where the text declares none. */
  readonly bindings: readonly (BindingKind | undefined)[];
}

/** The pipelines of one device. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  readonly #layouts = new Map<
    string,
    { layout: GPUBindGroupLayout; pipelineLayout: GPUPipelineLayout }
  >();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Number of distinct kernel texts compiled so far. */
  get size(): number {
    return this.#pipelines.size;
  }

  /**
   * Compiles a kernel, or returns the one compiled before.
   *
   * Errors    `shader_invalid` with the compiler's message and the offending line.
   */
  get(label: string, text: string, entry: string): Promise<Pipeline> {
    const key = `${entry}\n${text}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#build(label, text, entry);
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  async #build(label: string, text: string, entry: string): Promise<Pipeline> {
    const bindings = declaredBindings(text);
    const { layout, pipelineLayout } = this.#layout(bindings);
    const module = this.#module(label, text);
    try {
      const gpu = await waitGently(() =>
        this.#device.createComputePipelineAsync({
          label,
          layout: pipelineLayout,
          compute: { module, entryPoint: entry },
        }),
      );
      return { label, gpu, layout, bindings };
    } catch (cause) {
      const info = await waitGently(() => module.getCompilationInfo());
      const first = info.messages.find((m) => m.type === "error");
      const line = first ? text.split("\n")[first.lineNum - 1] : undefined;
      throw new ForgeError({
        code: "shader_invalid",
        what: `kernel "${label}" does not compile.`,
        got: first
          ? `line ${first.lineNum}: ${first.message}${line ? `\n       ${line.trim()}` : ""}`
          : String((cause as Error)?.message ?? cause),
        fix: "report this with the output of `forge-gpu doctor --json`; if you wrote the kernel, correct the line",
        cause,
      });
    }
  }

  /** An error in the text is kept off the device's handler: whoever asked for the pipeline gets it. */
  #module(label: string, code: string): GPUShaderModule {
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label, code });
    waitGently(() => this.#device.popErrorScope()).catch(() => null); // a lost device reports itself
    return module;
  }

  #layout(bindings: readonly (BindingKind | undefined)[]): {
    layout: GPUBindGroupLayout;
    pipelineLayout: GPUPipelineLayout;
  } {
    const key = bindings.map((b) => b ?? "-").join();
    let entry = this.#layouts.get(key);
    if (!entry) {
      const entries: GPUBindGroupLayoutEntry[] = [];
      bindings.forEach((kind, binding) => {
        if (kind)
          entries.push({
            binding,
            visibility: STAGE_COMPUTE,
            buffer: { type: BUFFER_TYPES[kind] },
          });
      });
      const layout = this.#device.createBindGroupLayout({ label: key, entries });
      entry = {
        layout,
        pipelineLayout: this.#device.createPipelineLayout({
          label: key,
          bindGroupLayouts: [layout],
        }),
      };
      this.#layouts.set(key, entry);
    }
    return entry;
  }
}

const BUFFER_TYPES = {
  uniform: "uniform",
  read: "read-only-storage",
  read_write: "storage",
} as const satisfies Record<BindingKind, GPUBufferBindingType>;

/**
 * The bindings that a text declares in group 0.
 *
 * A regular expression, since the reflection library of the trade (wgsl_reflect 1.6) fails on subgroup-matrix types.
 * `test/shaders` holds both to the same answer on every file that the library can read.
 */
export function declaredBindings(text: string): (BindingKind | undefined)[] {
  const found: (BindingKind | undefined)[] = [];
  const declaration =
    /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read_write|read)\s*)?>/g;
  for (const m of text.matchAll(declaration)) {
    found[Number(m[1])] =
      m[2] === "uniform" ? "uniform" : m[3] === "read_write" ? "read_write" : "read";
  }
  return Array.from(found);
}
