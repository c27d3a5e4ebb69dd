/**
 * The best matrix product in WGSL that our research found for a driver on a CPU with subgroups of 8 (lavapipe): the bar that
 * the engine's own kernels are measured against. Sizes are written into the text, and nothing but whole tiles is served.
 *
 * Such a driver pays per element and lane that is loaded, whether or not lanes share the address; arithmetic is cheap. So
 * no element is loaded twice: lanes are columns when b and c are touched, and rows when a is; `subgroupBroadcast` hands
 * each element of a to all lanes. A subgroup computes 16 × 64; two steps of k a turn keep the loop in the instruction cache.
 */
import type { Device } from "../../engine/index.ts";
import { checkProduct, type MatmulSpec, matmulOperands } from "../../src/bench/matmul.ts";
import { type Contender, contender } from "../../src/bench/measure.ts";

const LANES = 8;
/** Rows of the tile, in blocks of one row a lane. */
const ROW_BLOCKS = 2;
const ROWS = ROW_BLOCKS * LANES;
/** Vectors of four columns a lane. */
const VECTORS = 2;
const COLUMNS = VECTORS * 4 * LANES;
/** Steps of k in one turn of the loop. */
const STEPS = 2;

const STORAGE = 0x0080;
const COPY_SRC = 0x0004;
const COPY_DST = 0x0008;
const MAP_READ = 0x0001;

/** Whether the kernel can be run for a product on a device. */
export function suitsBestMatmul(device: Device, { m, n, k, precision }: MatmulSpec): boolean {
  const isWhole = m % ROWS === 0 && n % COLUMNS === 0 && k % STEPS === 0;
  return device.subgroupSize === LANES && isWhole && precision !== "f16";
}

/** The kernel on its own buffers, as a contender, checked. */
export async function bestMatmulContender(device: Device, spec: MatmulSpec): Promise<Contender> {
  const { m, n, k } = spec;
  const { a, b } = matmulOperands(spec);
  const text = bestMatmulText(spec);
  const pipeline = await device.pipelines.get("best-matmul", text, "best_matmul");
  const usage = STORAGE | COPY_SRC | COPY_DST;
  const buffers = await device.createBuffers(
    [m * k, k * n, m * n].map((count, i) => ({
      label: `best-matmul ${"abc"[i]}`,
      sizeBytes: 4 * count,
      usage,
    })),
  );
  const [bufferA, bufferB, bufferC] = buffers;
  if (!bufferA || !bufferB || !bufferC) throw new Error("no buffers for best-matmul");
  device.gpu.queue.writeBuffer(bufferA, 0, a);
  device.gpu.queue.writeBuffer(bufferB, 0, b);
  const group = device.gpu.createBindGroup({
    label: "best-matmul",
    layout: pipeline.layout,
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const run = async (calls: number): Promise<void> => {
    for (let i = 0; i < calls; i++) {
      const encoder = device.gpu.createCommandEncoder({ label: "best-matmul" });
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(n / COLUMNS, m / ROWS);
      pass.end();
      device.submit("best-matmul", encoder.finish());
    }
    await device.idle();
  };
  await run(1);
  checkProduct(spec, { a, b }, await readFloats(device, bufferC));
  return contender("best-matmul", run);
}

async function readFloats(device: Device, buffer: GPUBuffer): Promise<Float32Array> {
  const sizeBytes = buffer.size;
  const usage = COPY_DST | MAP_READ;
  const staging = device.createBuffer({ label: "best-matmul read", sizeBytes, usage });
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, sizeBytes);
  device.submit("best-matmul read", encoder.finish());
  const floats = await device.readMapped(staging, sizeBytes, (b) => new Float32Array(b.slice(0)));
  device.destroyBuffer(staging);
  return floats;
}

/** The kernel for one product. With b transposed a lane's columns are 8 apart and single numbers; else vectors of four. */
function bestMatmulText({ mode, m, n, k }: MatmulSpec): string {
  const isNT = mode === "NT";
  const isTN = mode === "TN";
  const parts = isNT ? VECTORS * 4 : VECTORS;
  const sum = isNT ? "f32" : "vec4<f32>";
  const pair = `vec${STEPS}<f32>`;
  const stored = (i: number, part: number): string =>
    isNT
      ? `c[(row + ${i}u) * ${n}u + col + ${part * LANES}u]`
      : `c[(row + ${i}u) * ${n / 4}u + col + ${part * LANES}u]`;
  const loadsOfA = times(ROW_BLOCKS, (block) =>
    isTN
      ? times(
          STEPS,
          (j) =>
            `    let a${block}_${j} = a[(${STEPS}u * k + ${j}u) * ${m}u + row + ${block * LANES}u + lane];`,
        )
      : `    let a${block} = a[(row + ${block * LANES}u + lane) * ${k / STEPS}u + k];`,
  );
  const loadsOfB = isNT
    ? times(parts, (part) => `    let b${part} = b[(col + ${part * LANES}u) * ${k / STEPS}u + k];`)
    : times(STEPS, (j) =>
        times(
          parts,
          (part) =>
            `    let b${part}_${j} = b[(${STEPS}u * k + ${j}u) * ${n / 4}u + col + ${part * LANES}u];`,
        ),
      );
  const products = times(STEPS, (j) =>
    times(ROWS, (i) => {
      const block = Math.floor(i / LANES);
      const own = isTN ? `a${block}_${j}` : `a${block}[${j}]`;
      const factor = (part: number): string => (isNT ? `b${part}[${j}]` : `b${part}_${j}`);
      const adds = times(parts, (part) => `      c${i}_${part} += x * ${factor(part)};`);
      return `    {\n      let x = subgroupBroadcast(${own}, ${i % LANES}u);\n${adds}\n    }`;
    }),
  );
  return `enable subgroups;
@group(0) @binding(0) var<storage, read> a: array<${isTN ? "f32" : pair}>;
@group(0) @binding(1) var<storage, read> b: array<${isNT ? pair : "vec4<f32>"}>;
@group(0) @binding(2) var<storage, read_write> c: array<${sum}>;

@compute @workgroup_size(${LANES})
fn best_matmul(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row = group.y * ${ROWS}u;
  let col = group.x * ${isNT ? COLUMNS : COLUMNS / 4}u + ${isNT ? "lane" : "local.x"};
${times(ROWS, (i) => times(parts, (part) => `  var c${i}_${part} = ${sum}(0.0);`))}
  for (var k = 0u; k < ${k / STEPS}u; k++) {
${loadsOfA}
${loadsOfB}
${products}
  }
${times(ROWS, (i) => times(parts, (part) => `  ${stored(i, part)} = c${i}_${part};`))}
}
`;
}

function times(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join("\n");
}
