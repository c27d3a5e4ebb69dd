/**
 * A trial: hand-written kernels run on buffers of their own, outside of any plan, to be verified and timed.
 */
import { BufferUsage } from "../gpu/constants.ts";
import type { Device } from "../gpu/device.ts";
import { expandShader } from "../gpu/shader.ts";
import type { TrialStep } from "../gpu/tuning.ts";
import { shaderSource } from "./shader-source.ts";

const USAGE = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;

/** Dispatches with everything bound. */
interface Prepared {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** Buffers, and kernels over them. Dispose it to free them. */
export class Trial implements Disposable {
  readonly #device: Device;
  readonly #label: string;
  readonly #buffers: ReadonlyMap<string, GPUBuffer>;
  readonly #uniforms: GPUBuffer[] = [];

  private constructor(device: Device, label: string, buffers: ReadonlyMap<string, GPUBuffer>) {
    this.#device = device;
    this.#label = label;
    this.#buffers = buffers;
  }

  /**
   * Makes the buffers: with the given values, or with so many NaN.
   *
   * Errors    `out_of_memory`, `device_limit`; then none is left behind.
   */
  static async make(
    device: Device,
    label: string,
    contents: Readonly<Record<string, Float32Array<ArrayBuffer> | number>>,
  ): Promise<Trial> {
    const names = Object.keys(contents);
    const requests = Object.entries(contents).map(([name, content]) => ({
      label: `${label} ${name}`,
      sizeBytes: 4 * Math.max(4, typeof content === "number" ? content : content.length),
      usage: USAGE,
    }));
    const made = await device.createBuffers(requests);
    const trial = new Trial(device, label, new Map(names.map((n, i) => [n, made[i] as GPUBuffer])));
    for (const [name, content] of Object.entries(contents)) {
      if (typeof content === "number") trial.poison(name);
      else device.gpu.queue.writeBuffer(trial.#buffer(name), 0, content);
    }
    return trial;
  }

  /** Fills a buffer with NaN, so that elements that a kernel leaves out show. */
  poison(name: string): void {
    const buffer = this.#buffer(name);
    this.#device.gpu.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(NaN));
  }

  /**
   * Compiles kernels and binds them. The function that is returned runs them so many times in one submission and gives
   * the milliseconds until it is done.
   *
   * Errors    `shader_invalid`.
   */
  async prepare(steps: readonly TrialStep[]): Promise<(repeat: number) => Promise<number>> {
    const prepared = await Promise.all(steps.map((step) => this.#prepareStep(step)));
    return (repeat) => this.#run(prepared, repeat);
  }

  /** Elements `from`, `from + 1`, … of a buffer. */
  async read(name: string, from: number, count: number): Promise<Float32Array> {
    const staging = this.#device.takeStaging(4 * count);
    const encoder = this.#device.gpu.createCommandEncoder({ label: this.#label });
    encoder.copyBufferToBuffer(this.#buffer(name), 4 * from, staging, 0, 4 * count);
    this.#device.submit(this.#label, encoder.finish());
    try {
      return await this.#device.readMapped(
        staging,
        4 * count,
        (bytes) => new Float32Array(bytes.slice(0)),
      );
    } finally {
      this.#device.returnStaging(staging);
    }
  }

  [Symbol.dispose](): void {
    for (const buffer of [...this.#buffers.values(), ...this.#uniforms]) {
      this.#device.destroyBuffer(buffer);
    }
  }
  #buffer(name: string): GPUBuffer {
    return this.#buffers.get(name) as GPUBuffer;
  }

  async #prepareStep({ dispatch, operands }: TrialStep): Promise<Prepared> {
    const { name, entry, options, params, grid } = dispatch;
    const { gpu, pipelines } = this.#device;
    const text = expandShader(name, shaderSource(name), options);
    const pipeline = await pipelines.get(`${name}.wgsl:${entry}`, text, entry);
    const uniform = this.#device.createBuffer({
      label: `${this.#label} params`,
      sizeBytes: Math.ceil(params.byteLength / 16) * 16,
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    });
    this.#uniforms.push(uniform);
    gpu.queue.writeBuffer(uniform, 0, params as Uint32Array<ArrayBuffer>);
    const entries = [uniform, ...operands.map((operand) => this.#buffer(operand))]
      .map((buffer, binding) => ({ binding, resource: { buffer } }))
      .filter(({ binding }) => pipeline.bindings[binding] !== undefined);
    const group = gpu.createBindGroup({ label: this.#label, layout: pipeline.layout, entries });
    return { pipeline: pipeline.gpu, group, grid };
  }

  async #run(prepared: readonly Prepared[], repeat: number): Promise<number> {
    const start = performance.now();
    const encoder = this.#device.gpu.createCommandEncoder({ label: this.#label });
    const pass = encoder.beginComputePass({ label: this.#label });
    for (let i = 0; i < repeat; i++) {
      for (const { pipeline, group, grid } of prepared) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...grid);
      }
    }
    pass.end();
    this.#device.submit(this.#label, encoder.finish());
    await this.#device.idle();
    return performance.now() - start;
  }
}
