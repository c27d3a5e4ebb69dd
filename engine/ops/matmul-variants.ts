/**
 * Kernels of the matrix product: what each variant needs, how it is dispatched, and which is tried first.
 *
 * A table, not a policy: the tuner may reorder what {@link matmulCandidates} returns, since every variant gives the same
 * product. All share one `Params` struct and the bindings 1 a · 2 b · 3 c; bindings from 4 on belong to a fused `store`.
 */
import { type DeviceFacts, foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";

/** Which operand is stored transposed: NN a [m, k] · b [k, n]; NT b [n, k]; TN a [k, m]. */
export type MatmulMode = "NN" | "NT" | "TN";

/**
 * Sizes, strides and offsets of a product, in elements. `ld` is the stride of a stored row. A batch has two levels, so
 * that grouped heads and broadcast dimensions need no copy: batch s = outer · batchInner + inner; a stride of 0 repeats.
 */
export interface MatmulShape {
  readonly mode: MatmulMode;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batchOuter: number;
  readonly batchInner: number;
  readonly lda: number;
  readonly ldb: number;
  readonly ldc: number;
  readonly offsetA: number;
  readonly offsetB: number;
  readonly offsetC: number;
  readonly outerA: number;
  readonly outerB: number;
  readonly outerC: number;
  readonly innerA: number;
  readonly innerB: number;
  readonly innerC: number;
}

/** The shape of a product of contiguous operands; a `batch` has one matrix of each operand per index. */
export function contiguousMatmul(
  mode: MatmulMode,
  sizes: { readonly m: number; readonly n: number; readonly k: number; readonly batch?: number },
): MatmulShape {
  const { m, n, k, batch = 1 } = sizes;
  return {
    mode,
    m,
    n,
    k,
    batchOuter: 1,
    batchInner: batch,
    lda: mode === "TN" ? m : k,
    ldb: mode === "NT" ? k : n,
    ldc: n,
    offsetA: 0,
    offsetB: 0,
    offsetC: 0,
    outerA: 0,
    outerB: 0,
    outerC: 0,
    innerA: m * k,
    innerB: k * n,
    innerC: m * n,
  };
}

/** One way to compute a product. */
export interface MatmulVariant {
  readonly name: string;
  /** Base name of the file in `shaders/`. */
  readonly file: string;
  /**
   * The function that fusion may replace: `store(batch, row, col, value: f32)`, or `store4(batch, row, col, value: vec4f)`
   * with the first of four columns. Row, column and batch are in range; c is an `array<f32>`, or an `array<vec4f>`.
   */
  readonly hook: "store" | "store4";
  supports(device: DeviceFacts, shape: MatmulShape): boolean;
  /** Rows and columns of c that a workgroup computes. */
  tile(device: DeviceFacts): { readonly rows: number; readonly cols: number };
  /** The entry point and the text's constants. */
  text(
    device: DeviceFacts,
    shape: MatmulShape,
  ): { readonly entry: string; readonly constants: Record<string, number> };
  /** Whether NT is run as NN after a copy of b transposed into scratch. */
  readonly isTransposingNT: boolean;
}

/** An operand of a dispatch. */
export type MatmulOperand = "a" | "b" | "c" | "scratch";

/** The dispatches of one product, in order; the last one writes c. */
export interface MatmulPlan {
  readonly steps: readonly {
    readonly dispatch: KernelDispatch;
    /** What bindings 1, 2, … are. */
    readonly operands: readonly MatmulOperand[];
  }[];
  /** Size of the scratch buffer, in elements of f32; 0 when none is needed. */
  readonly scratchElements: number;
}

/** Fewest rows for which copying b pays: below, b is read too few times. */
const TRANSPOSE_FROM_ROWS = 48;

function isMultipleOf4(...values: readonly number[]): boolean {
  return values.every((v) => v % 4 === 0);
}

/** Whether c can be written, and in NN and TN b be read, four columns at a time. */
function hasWideColumns(s: MatmulShape): boolean {
  return (
    isMultipleOf4(s.n, s.ldc, s.offsetC, s.outerC, s.innerC) &&
    isMultipleOf4(s.ldb, s.offsetB, s.outerB, s.innerB)
  );
}

/** Lanes that share loads by broadcast: the subgroup must have one known size. */
function isLaneDevice(device: DeviceFacts): boolean {
  return (
    device.isSoftware &&
    (device.subgroupSize === 4 || device.subgroupSize === 8 || device.subgroupSize === 16)
  );
}

function lanes(rows: 8 | 16 | 24, isWide: boolean): MatmulVariant {
  const blocks = (d: DeviceFacts): number => Math.max(1, Math.round(rows / (d.subgroupSize ?? 8)));
  // 64 columns a tile on eight lanes; narrower on four, which have half the registers.
  const width = (d: DeviceFacts): number => (d.subgroupSize === 16 ? 4 : 8);
  return {
    name: `${isWide ? "lanes" : "lanes_any"}_${rows}`,
    file: isWide ? "matmul-lanes" : "matmul-lanes-any",
    hook: isWide ? "store4" : "store",
    isTransposingNT: isWide,
    supports: (device, s) =>
      isLaneDevice(device) &&
      (!isWide ||
        (hasWideColumns(s) &&
          (s.mode !== "NT" || (s.m >= TRANSPOSE_FROM_ROWS && isMultipleOf4(s.k))))),
    tile: (d) => ({
      rows: blocks(d) * (d.subgroupSize ?? 8),
      cols: width(d) * (d.subgroupSize ?? 8),
    }),
    text: (d) => ({
      entry: isWide ? "matmul_lanes" : "matmul_lanes_any",
      constants: {
        LANES: d.subgroupSize ?? 8,
        ROW_BLOCKS: blocks(d),
        ...(isWide ? { VECTORS: width(d) / 4 } : { COLUMNS: width(d) }),
      },
    }),
  };
}

const PLAIN: MatmulVariant = {
  name: "plain",
  file: "matmul-plain",
  hook: "store",
  isTransposingNT: false,
  supports: () => true,
  tile: () => ({ rows: 1, cols: 64 }),
  text: () => ({ entry: "matmul_plain", constants: {} }),
};

/** Every variant; the plain one, which the others are verified against, is last. */
export const MATMUL_VARIANTS: readonly MatmulVariant[] = [
  lanes(24, true),
  lanes(16, true),
  lanes(8, true),
  lanes(16, false),
  lanes(8, false),
  PLAIN,
];

/** The variants that can compute `shape` on `device`, the one to use by default first. */
export function matmulCandidates(
  device: DeviceFacts,
  shape: MatmulShape,
): readonly MatmulVariant[] {
  const usable = MATMUL_VARIANTS.filter((v) => v.supports(device, shape));
  const cost = (v: MatmulVariant): number => estimate(v, device, shape);
  return usable.sort((x, y) => cost(x) - cost(y));
}

/** Relative time of a variant: padded work over the speed it reached on full tiles. */
function estimate(variant: MatmulVariant, device: DeviceFacts, { m, n }: MatmulShape): number {
  const { rows, cols } = variant.tile(device);
  const padded = Math.ceil(m / rows) * rows * Math.ceil(n / cols) * cols;
  return padded / (SPEED[variant.name] ?? 1);
}

/** Speed on full tiles relative to the plain kernel, on the adapters that a variant is for. */
const SPEED: Readonly<Record<string, number>> = {
  lanes_24: 16,
  lanes_16: 15.5,
  lanes_8: 10,
  lanes_any_16: 11,
  lanes_any_8: 7,
  plain: 1,
};

/** The dispatches that compute `shape` by `variant`. */
export function planMatmul(
  variant: MatmulVariant,
  device: DeviceFacts,
  shape: MatmulShape,
): MatmulPlan {
  const isTransposing = shape.mode === "NT" && variant.isTransposingNT;
  if (!isTransposing) {
    return {
      steps: [{ dispatch: productDispatch(variant, device, shape), operands: ["a", "b", "c"] }],
      scratchElements: 0,
    };
  }
  const { n, k } = shape;
  const outer = shape.outerB === 0 ? 1 : shape.batchOuter;
  const inner = shape.innerB === 0 ? 1 : shape.batchInner;
  const innerT = inner === 1 ? 0 : k * n;
  const outerT = outer === 1 ? 0 : inner * k * n;
  const product = {
    ...shape,
    mode: "NN",
    ldb: n,
    offsetB: 0,
    outerB: outerT,
    innerB: innerT,
  } as const;
  const lanesCount = device.subgroupSize ?? 8;
  const groups = outer * inner * Math.ceil(n / (4 * lanesCount)) * Math.ceil(k / TRANSPOSE_CHUNK);
  const transpose: KernelDispatch = {
    name: "matmul-transpose",
    entry: "matmul_transpose",
    options: { constants: { LANES: lanesCount, CHUNK: TRANSPOSE_CHUNK } },
    params: paramWords([
      ...[n, k, outer * inner, inner],
      ...[shape.ldb, n, shape.offsetB, 0],
      ...[shape.outerB, shape.innerB, outerT, innerT],
    ]),
    grid: [...foldGrid(groups), 1],
  };
  return {
    steps: [
      { dispatch: transpose, operands: ["b", "scratch"] },
      { dispatch: productDispatch(variant, device, product), operands: ["a", "scratch", "c"] },
    ],
    scratchElements: outer * inner * k * n,
  };
}

/** k that a workgroup of the transposition copies. */
const TRANSPOSE_CHUNK = 64;

function productDispatch(
  variant: MatmulVariant,
  device: DeviceFacts,
  shape: MatmulShape,
): KernelDispatch {
  const { m, n, batchOuter, batchInner } = shape;
  const batch = batchOuter * batchInner;
  const { rows, cols } = variant.tile(device);
  const { entry, constants } = variant.text(device, shape);
  const groups =
    variant === PLAIN
      ? Math.ceil((batch * m * n) / cols)
      : batch * Math.ceil(m / rows) * Math.ceil(n / cols);
  return {
    name: variant.file,
    entry,
    options: { constants },
    params: matmulParams(shape),
    grid: [...foldGrid(groups), 1],
  };
}

/** The `Params` struct of every variant: a mode is a matter of strides. */
export function matmulParams(s: MatmulShape): Uint32Array {
  const [aRow, aK] = s.mode === "TN" ? [1, s.lda] : [s.lda, 1];
  const [bK, bCol] = s.mode === "NT" ? [1, s.ldb] : [s.ldb, 1];
  return paramWords([
    ...[s.m, s.n, s.k, s.batchOuter * s.batchInner],
    ...[aRow, aK, bK, bCol],
    ...[s.ldc, s.batchInner, s.offsetA, s.offsetB],
    ...[s.offsetC, s.outerA, s.outerB, s.outerC],
    ...[s.innerA, s.innerB, s.innerC, 0],
  ]);
}
