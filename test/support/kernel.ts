/**
 * Runs one kernel of `shaders/` on its own: for kernel tests and for trying variants out.
 */
import { BufferUsage } from "../../engine/gpu/constants.ts";
import type { Device } from "../../engine/gpu/device.ts";
import { expandShader, type ShaderOptions } from "../../engine/gpu/shader.ts";

type HostArray = Float32Array | Uint32Array | Int32Array | Uint16Array;

/** One dispatch. `bindings` are storage buffers 1, 2, … in order; binding 0 is the uniform `params`. */
export interface KernelRun {
  readonly name: string;
  readonly source: string;
  readonly options?: ShaderOptions;
  readonly entry: string;
  readonly params: ArrayBuffer | Uint32Array;
  readonly bindings: readonly HostArray[];
  readonly grid: readonly [number, number, number];
}

/** Dispatches the kernel `repeat` times over copies of the host arrays; returns all bindings as they are afterwards, and the milliseconds per dispatch. */
export async function runKernel(
  device: Device,
  run: KernelRun,
  repeat = 1,
): Promise<{ bindings: HostArray[]; ms: number }> {
  const text = expandShader(run.name, run.source, run.options);
  const pipeline = await device.pipelines.get(`${run.name}.wgsl:${run.entry}`, text, run.entry);
  const raw = run.params instanceof Uint32Array ? run.params : new Uint32Array(run.params);
  const usage = BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
  const uniform = device.createBuffer({
    label: "params",
    sizeBytes: Math.ceil(raw.byteLength / 16) * 16,
    usage: usage | BufferUsage.UNIFORM,
  });
  device.gpu.queue.writeBuffer(uniform, 0, raw as Uint32Array<ArrayBuffer>);
  const buffers = run.bindings.map((data, i) => {
    const buffer = device.createBuffer({
      label: `binding ${i + 1}`,
      sizeBytes: data.byteLength,
      usage: usage | BufferUsage.STORAGE,
    });
    device.gpu.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return buffer;
  });
  const group = device.gpu.createBindGroup({
    layout: pipeline.layout,
    entries: [uniform, ...buffers]
      .map((buffer, binding) => ({ binding, resource: { buffer } }))
      .filter((e) => pipeline.bindings[e.binding] !== undefined),
  });
  const submit = (n: number): void => {
    const encoder = device.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline.gpu);
    pass.setBindGroup(0, group);
    for (let i = 0; i < n; i++) pass.dispatchWorkgroups(...run.grid);
    pass.end();
    device.submit(run.name, encoder.finish());
  };
  if (repeat > 1) {
    submit(1);
    await device.idle();
  }
  const start = performance.now();
  submit(repeat);
  await device.idle();
  const ms = (performance.now() - start) / repeat;
  const results: HostArray[] = [];
  for (const [i, data] of run.bindings.entries()) {
    const staging = device.createBuffer({
      label: "staging",
      sizeBytes: data.byteLength,
      usage: BufferUsage.COPY_DST | 0x0001,
    });
    const encoder = device.gpu.createCommandEncoder();
    const source = buffers[i];
    if (source)
      encoder.copyBufferToBuffer(source, 0, staging, 0, Math.ceil(data.byteLength / 4) * 4);
    device.submit("read", encoder.finish());
    const Type = data.constructor as new (b: ArrayBuffer) => HostArray;
    results.push(
      await device.readMapped(staging, data.byteLength, (bytes) => new Type(bytes.slice(0))),
    );
    device.destroyBuffer(staging);
  }
  for (const buffer of [uniform, ...buffers]) device.destroyBuffer(buffer);
  return { bindings: results, ms };
}
