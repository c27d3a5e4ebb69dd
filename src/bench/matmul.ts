/** Matrix products: the shapes that are measured, their operands, and the check of a result. */
import { compile, type Device, matmul, parameter, type Tensor } from "../../engine/index.ts";
import { type Contender, contender } from "./measure.ts";
import { generator, uniform } from "./numbers.ts";

/** A product to measure. NN: a [m, k] · b [k, n]; NT: b is stored [n, k]; TN: a is stored [k, m]. */
export interface MatmulSpec {
  readonly mode: "NN" | "NT" | "TN";
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** What operands may be rounded to. Default f32. */
  readonly precision?: "f32" | "f16";
}

/** `512³ NN`, `1024×384×128 NT f16`. */
export function matmulName({ mode, m, n, k, precision }: MatmulSpec): string {
  const size = m === n && n === k ? `${m}³` : `${m}×${n}×${k}`;
  return `${size} ${mode}${precision === "f16" ? " f16" : ""}`;
}

/** Floating-point operations. */
export function matmulFlops({ m, n, k }: MatmulSpec): number {
  return 2 * m * n * k;
}

const MODES = ["NN", "NT", "TN"] as const;

/** Products of the decoder's training step: projections, their gradients, the head. */
const DECODER_PRODUCTS: readonly MatmulSpec[] = [
  { mode: "NN", m: 1024, n: 384, k: 128 },
  { mode: "NN", m: 1024, n: 512, k: 128 },
  { mode: "NN", m: 1024, n: 128, k: 512 },
  { mode: "NT", m: 1024, n: 256, k: 128 },
  { mode: "NT", m: 1024, n: 128, k: 512 },
  { mode: "TN", m: 128, n: 512, k: 1024 },
];

/** What is measured on a device: larger squares on hardware, and f16 operands where it multiplies matrices of them. */
export function matmulSpecs(device: Device): MatmulSpec[] {
  const squares = device.isSoftware ? [512, 1024] : [1024, 2048, 4096];
  const square = (size: number, precision: "f32" | "f16"): MatmulSpec[] =>
    MODES.map((mode) => ({ mode, m: size, n: size, k: size, precision }));
  return [
    ...squares.flatMap((size) => square(size, "f32")),
    ...(device.hasSubgroupMatrix ? squares.flatMap((size) => square(size, "f16")) : []),
    ...DECODER_PRODUCTS,
  ];
}

/** Operands, the same for every contender. */
export function matmulOperands({ m, n, k }: MatmulSpec): {
  a: Float32Array<ArrayBuffer>;
  b: Float32Array<ArrayBuffer>;
} {
  const next = generator(7);
  return { a: uniform(m * k, next), b: uniform(k * n, next) };
}

/**
 * Throws unless c = a · b, by Freivalds' check: c · x = a · (b · x) for random x of ±1, in f64. A single wrong element of c
 * changes one sum by more than the rounding of all others as long as it is off by more than about 1e-3.
 *
 * Source    Freivalds 1977, Probabilistic machines can use less running time
 */
export function checkProduct(
  spec: MatmulSpec,
  { a, b }: { readonly a: Float32Array; readonly b: Float32Array },
  c: ArrayLike<number>,
): void {
  const { mode, m, n, k, precision } = spec;
  const next = generator(11);
  // terms of c are products of numbers below ½, rounded to 2⁻²⁴ (f16: operands to 2⁻¹²) of themselves
  const tolerance = 4 * Math.sqrt(n * k) * (precision === "f16" ? 2 ** -12 : 2 ** -20);
  for (let round = 0; round < 2; round++) {
    const x = Float64Array.from({ length: n }, () => (next() < 0.5 ? -1 : 1));
    const bx = product(k, n, (i, j) => Number(mode === "NT" ? b[j * k + i] : b[i * n + j]), x);
    const abx = product(m, k, (i, j) => Number(mode === "TN" ? a[j * m + i] : a[i * k + j]), bx);
    const cx = product(m, n, (i, j) => Number(c[i * n + j]), x);
    for (let i = 0; i < m; i++) {
      const difference = Math.abs(Number(cx[i]) - Number(abx[i]));
      if (difference <= tolerance) continue;
      throw new Error(`${matmulName(spec)} is wrong in row ${i}: off by ${difference}`);
    }
  }
}

function product(
  rows: number,
  cols: number,
  at: (i: number, j: number) => number,
  x: Float64Array,
): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < cols; j++) sum += at(i, j) * Number(x[j]);
    return sum;
  });
}

/** Our product as a contender, checked. */
export async function matmulContender(device: Device, spec: MatmulSpec): Promise<Contender> {
  const { mode, m, n, k, precision = "f32" } = spec;
  const operands = matmulOperands(spec);
  const a = parameter(mode === "TN" ? [k, m] : [m, k], operands.a, "a");
  const b = parameter(mode === "NT" ? [n, k] : [k, n], operands.b, "b");
  const before = device.matmulPrecision;
  device.matmulPrecision = precision;
  const multiply = compile(
    (): Tensor => matmul(mode === "TN" ? a.transpose() : a, mode === "NT" ? b.transpose() : b),
    { device, label: `matmul ${matmulName(spec)}` },
  );
  const plan = await multiply.plan();
  device.matmulPrecision = before;
  checkProduct(spec, operands, await (await multiply()).read());
  return contender("forge-gpu", async (calls) => {
    for (let i = 0; i < calls; i++) plan.run([]);
    await device.idle();
  });
}
