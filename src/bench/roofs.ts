/**
 * What an adapter can do at most, measured: multiply-adds on registers, and copying memory. Figures are given as a share of
 * these roofs (Williams et al. 2009), so that they mean something on any adapter.
 */
import type { Device } from "../../engine/index.ts";
import { contender, type MeasureOptions, measure } from "./measure.ts";

/** The two roofs. */
export interface Roofs {
  /** f32 multiply-adds on registers, two operations each. */
  readonly gigaflops: number;
  /** Bytes read and written by a buffer copy. */
  readonly gigabytesPerSecond: number;
}

const ITERATIONS = 256;
/** Multiply-adds of a chain per iteration: a driver on a CPU pays for each register that an iteration writes. */
const STEPS = 4;
/** Independent chains of vec4 a lane: enough to hide the latency of a multiply-add, few enough for registers. */
const CHAINS = 4;
const LANES = 64;

const STORAGE = 0x0080;
const COPY_SRC = 0x0004;
const COPY_DST = 0x0008;

/** The highest figures seen on each device: a limit is a maximum. */
const highest = new WeakMap<Device, Roofs>();

/** Measures both roofs before and after `run`; figures that were found higher before stand. */
export async function withRoofs<T>(
  device: Device,
  options: MeasureOptions,
  run: () => Promise<T>,
): Promise<{ result: T; roofs: Roofs }> {
  await measureRoofs(device, options);
  const result = await run();
  return { result, roofs: await measureRoofs(device, options) };
}

async function measureRoofs(device: Device, options: MeasureOptions): Promise<Roofs> {
  const now = await roofsNow(device, options);
  const before = highest.get(device) ?? now;
  const roofs = {
    gigaflops: Math.max(now.gigaflops, before.gigaflops),
    gigabytesPerSecond: Math.max(now.gigabytesPerSecond, before.gigabytesPerSecond),
  };
  highest.set(device, roofs);
  return roofs;
}

async function roofsNow(device: Device, options: MeasureOptions): Promise<Roofs> {
  const groups = device.isSoftware ? 256 : 16_384;
  const bytes = device.isSoftware ? 2 ** 26 : 2 ** 29;
  const seed = device.createBuffer({
    label: "roof seed",
    sizeBytes: 16,
    usage: STORAGE | COPY_DST,
  });
  const sinkBytes = 16 * groups * LANES;
  const sink = device.createBuffer({ label: "roof sink", sizeBytes: sinkBytes, usage: STORAGE });
  const usage = COPY_SRC | COPY_DST;
  const [from, to] = await device.createBuffers([
    { label: "roof from", sizeBytes: bytes, usage },
    { label: "roof to", sizeBytes: bytes, usage },
  ]);
  if (!from || !to) throw new Error("no buffers to measure the roofs with");
  device.gpu.queue.writeBuffer(seed, 0, new Float32Array([0.5, 0.25, 0.125, 0.0625]));
  const pipeline = await device.pipelines.get("roof", rooflineText(), "roof");
  const entries = [
    { binding: 0, resource: { buffer: seed } },
    { binding: 1, resource: { buffer: sink } },
  ];
  const group = device.gpu.createBindGroup({ label: "roof", layout: pipeline.layout, entries });
  const submit = async (
    label: string,
    calls: number,
    encode: (encoder: GPUCommandEncoder) => void,
  ): Promise<void> => {
    const encoder = device.gpu.createCommandEncoder({ label });
    for (let i = 0; i < calls; i++) encode(encoder);
    device.submit(label, encoder.finish());
    await device.idle();
  };
  const compute = contender("compute", (calls) =>
    submit("roof", calls, (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(groups);
      pass.end();
    }),
  );
  const copy = contender("copy", (calls) =>
    submit("copy", calls, (encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, bytes)),
  );
  const [computed, copied] = await measure([compute, copy], { ...options, blockMs: 60 });
  for (const buffer of [seed, sink, from, to]) device.destroyBuffer(buffer);
  const flops = 2 * 4 * CHAINS * STEPS * ITERATIONS * groups * LANES;
  return {
    gigaflops: flops / (computed?.bestMs ?? Number.NaN) / 1e6,
    gigabytesPerSecond: (2 * bytes) / (copied?.bestMs ?? Number.NaN) / 1e6,
  };
}

/** The roofs in one sentence. */
export function roofsText({ gigaflops, gigabytesPerSecond }: Roofs): string {
  return (
    `Limits of the adapter, the highest measured so far: ${gigaflops.toFixed(0)} GFLOP/s of f32 multiply-adds on registers, ` +
    `${gigabytesPerSecond.toFixed(0)} GB/s of copying.`
  );
}

/** Values come from a buffer and go into one, so that nothing can be worked out beforehand or left out. */
function rooflineText(): string {
  const chains = Array.from({ length: CHAINS }, (_, i) => i);
  const each = (line: (i: number) => string): string => chains.map(line).join("\n");
  const step = each((i) => `    x${i} = fma(x${i}, scale, offset);`);
  return `
@group(0) @binding(0) var<storage, read> seed: vec4<f32>;
@group(0) @binding(1) var<storage, read_write> sink: array<vec4<f32>>;

@compute @workgroup_size(${LANES})
fn roof(@builtin(global_invocation_id) id: vec3<u32>) {
  let scale = seed;
  let offset = seed.wzyx;
${each((i) => `  var x${i} = vec4<f32>(f32(id.x) + ${i}.0);`)}
  for (var step = 0u; step < ${ITERATIONS}u; step++) {
${Array.from({ length: STEPS }, () => step).join("\n")}
  }
  sink[id.x] = ${chains.map((i) => `x${i}`).join(" + ")};
}
`;
}
