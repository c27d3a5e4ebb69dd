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

/** What the choice of a variant depends on besides the shape. */
export interface MatmulDeviceFacts extends DeviceFacts {
  readonly hasF16?: boolean;
  /** Whether subgroup matrices of f16 16 × 16 × 16 with f32 results are on, and subgroups can be pinned to 32 lanes. */
  readonly hasSubgroupMatrix?: boolean;
  readonly limits?: { readonly maxComputeWorkgroupStorageSize: number };
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
  /** Whether operands are rounded to f16: the caller must have agreed to that. */
  readonly isRounding: boolean;
  supports(device: MatmulDeviceFacts, shape: MatmulShape): boolean;
  /** Rows and columns of c that a workgroup computes. */
  tile(device: MatmulDeviceFacts, shape: MatmulShape): MatmulTile;
  /** The entry point and the text's constants. */
  text(device: MatmulDeviceFacts, shape: MatmulShape): MatmulText;
  /** Whether NT is run as NN after a copy of b transposed into scratch. */
  readonly isTransposingNT: boolean;
}

/** Part of c that a workgroup computes. */
export interface MatmulTile {
  readonly rows: number;
  readonly cols: number;
}

/** How a variant's file is expanded and entered. */
export interface MatmulText {
  readonly entry: string;
  readonly constants: Readonly<Record<string, number | boolean>>;
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
const TRANSPOSE_FROM_ROWS = 64;

function isMultipleOf4(...values: readonly number[]): boolean {
  return values.every((v) => v % 4 === 0);
}

/** Whether c can be written, and b be read along its stored rows, four elements at a time. */
function hasWideColumns(s: MatmulShape): boolean {
  return (
    isMultipleOf4(s.n, s.ldc, s.offsetC, s.outerC, s.innerC) &&
    isMultipleOf4(s.ldb, s.offsetB, s.outerB, s.innerB) &&
    (s.mode !== "NT" || isMultipleOf4(s.k))
  );
}

/** Whether a can be read in vectors too. */
function hasWideRows(s: MatmulShape): boolean {
  return isMultipleOf4(s.lda, s.offsetA, s.outerA, s.innerA, s.mode === "TN" ? s.m : s.k);
}

/** Lanes that share loads by broadcast: the subgroup must have one known size. */
function isLaneDevice(device: DeviceFacts): boolean {
  const size = device.subgroupSize;
  return device.isSoftware && (size === 4 || size === 8 || size === 16);
}

/** For adapters that compute on a CPU: a tile of about `rows` rows a subgroup. */
function lanes(rows: 8 | 16 | 24, isWide: boolean): MatmulVariant {
  const size = (d: DeviceFacts): number => d.subgroupSize ?? 8;
  const blocks = (d: DeviceFacts): number => Math.max(1, Math.round(rows / size(d)));
  /** Columns a lane. */
  const width = (d: DeviceFacts): number => (size(d) === 16 ? 4 : 8);
  return {
    name: `${isWide ? "lanes" : "lanes_any"}_${rows}`,
    file: isWide ? "matmul-lanes" : "matmul-lanes-any",
    hook: isWide ? "store4" : "store",
    isRounding: false,
    isTransposingNT: isWide,
    supports: (device, s) =>
      isLaneDevice(device) &&
      (!isWide || (hasWideColumns(s) && (s.mode !== "NT" || s.m >= TRANSPOSE_FROM_ROWS))),
    tile: (d) => ({ rows: blocks(d) * size(d), cols: width(d) * size(d) }),
    text: (d) => ({
      entry: isWide ? "matmul_lanes" : "matmul_lanes_any",
      constants: {
        LANES: size(d),
        ROW_BLOCKS: blocks(d),
        ...(isWide ? { VECTORS: width(d) / 4 } : { COLUMNS: width(d) }),
      },
    }),
  };
}

/** Which way the operands lie in memory, for texts that stage them in workgroup memory. */
function orientation(s: MatmulShape): Record<string, boolean> {
  return { A_ALONG_K: s.mode !== "TN", B_ALONG_K: s.mode === "NT" };
}

/** For hardware: a square tile in workgroup memory, `perThread` × `perThread` outputs a thread. */
function tiles(size: 128 | 64 | 32, perThread: 8 | 4, isWide: boolean): MatmulVariant {
  return {
    name: `${isWide ? "tiles" : "tiles_any"}_${size}`,
    file: isWide ? "matmul-tiles" : "matmul-tiles-any",
    hook: isWide ? "store4" : "store",
    isRounding: false,
    isTransposingNT: false,
    supports: (device, s) =>
      !device.isSoftware && (!isWide || (hasWideColumns(s) && hasWideRows(s))),
    tile: () => ({ rows: size, cols: size }),
    text: (_device, s) => ({
      entry: isWide ? "matmul_tiles_workgroup" : "matmul_tiles_any_workgroup",
      constants: {
        TILE_M: size,
        TILE_N: size,
        TILE_K: 16,
        ROWS: perThread / 4,
        COLUMNS: perThread / 4,
        ...orientation(s),
      },
    }),
  };
}

/** Most rows that the few-row kernel takes. */
const FEW_ROWS = 16;

/** For hardware: the few rows of a decoding step. */
const ROWS: MatmulVariant = {
  name: "rows",
  file: "matmul-rows",
  hook: "store4",
  isRounding: false,
  isTransposingNT: false,
  supports: (device, s) =>
    !device.isSoftware && s.mode !== "TN" && s.m <= FEW_ROWS && hasWideColumns(s),
  tile: (_device, s) => ({ rows: roundUpToPowerOf2(s.m), cols: 32 }),
  text: (_device, s) => ({
    entry: s.mode === "NT" ? "matmul_rows_nt_workgroup" : "matmul_rows_nn_workgroup",
    constants: {
      ROWS: roundUpToPowerOf2(s.m),
      ...(s.mode === "NT" ? { LANES: 32, SLICES: 8 } : { LANES: 8, SLICES: 32 }),
    },
  }),
};

function roundUpToPowerOf2(x: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, x)));
}

/** For hardware with tensor cores: operands rounded to f16, 16 × 16 blocks shared among eight or four subgroups. */
function matrix(size: 128 | 64): MatmulVariant {
  const isLarge = size === 128;
  // Two f16 tiles of `size` padded lines of 32 k, and a 16 × 16 f32 result for each subgroup of 32 × 32 or 64 × 32.
  const workgroupBytes = 2 * size * (32 + 8) * 2 + (isLarge ? 8 : 4) * 256 * 4;
  return {
    name: `matrix_${size}`,
    file: "matmul-matrix",
    hook: "store4",
    isRounding: true,
    isTransposingNT: false,
    supports: (device, s) =>
      device.hasF16 === true &&
      device.hasSubgroupMatrix === true &&
      (device.limits?.maxComputeWorkgroupStorageSize ?? 0) >= workgroupBytes &&
      hasWideColumns(s) &&
      hasWideRows(s),
    tile: () => ({ rows: size, cols: size }),
    text: (_device, s) => ({
      entry: "matmul_matrix_workgroup",
      constants: {
        ROWS: isLarge ? 4 : 2,
        COLUMNS: 2,
        SUBGROUPS_M: 2,
        SUBGROUPS_N: isLarge ? 4 : 2,
        ...orientation(s),
      },
    }),
  };
}

const PLAIN: MatmulVariant = {
  name: "plain",
  file: "matmul-plain",
  hook: "store",
  isRounding: false,
  isTransposingNT: false,
  supports: () => true,
  tile: () => ({ rows: 1, cols: 64 }),
  text: () => ({ entry: "matmul_plain", constants: {} }),
};

/** Every variant; the plain one, which the others are verified against, is last. */
export const MATMUL_VARIANTS: readonly MatmulVariant[] = [
  matrix(128),
  matrix(64),
  tiles(128, 8, true),
  tiles(64, 8, true),
  tiles(32, 4, true),
  tiles(64, 8, false),
  tiles(32, 4, false),
  ROWS,
  lanes(24, true),
  lanes(16, true),
  lanes(8, true),
  lanes(16, false),
  lanes(8, false),
  PLAIN,
];

/**
 * The variants that can compute `shape` on `device`, the one to use by default first.
 *
 * Variants that round operands to f16 are left out unless `canRound` is set.
 */
export function matmulCandidates(
  device: MatmulDeviceFacts,
  shape: MatmulShape,
  options: { readonly canRound?: boolean } = {},
): readonly MatmulVariant[] {
  const usable = MATMUL_VARIANTS.filter(
    (v) => v.supports(device, shape) && (options.canRound === true || !v.isRounding),
  );
  const cost = (v: MatmulVariant): number => estimate(v, device, shape);
  return usable.sort((x, y) => cost(x) - cost(y));
}

/** A key under which a tuned choice may be kept: products of one class, sizes rounded to powers of two, do alike. */
export function matmulShapeClass(device: MatmulDeviceFacts, shape: MatmulShape): string {
  const usable = MATMUL_VARIANTS.filter((v) => v.supports(device, shape)).map((v) => v.name);
  const sizes = [shape.m, shape.n, shape.k, shape.batchOuter * shape.batchInner];
  return [shape.mode, ...sizes.map(roundUpToPowerOf2), ...usable].join(" ");
}

/** Cores that share the workgroups. The estimate is only where tuning starts, so typical values will do. */
const CORES_SOFTWARE = 2;
const CORES_HARDWARE = 128;

/** Relative time of a variant: rounds of tiles on all cores, over the speed that a core reaches on full tiles. */
function estimate(variant: MatmulVariant, device: MatmulDeviceFacts, shape: MatmulShape): number {
  const { rows, cols } = variant.tile(device, shape);
  const cores = device.isSoftware ? CORES_SOFTWARE : CORES_HARDWARE;
  const rounds = Math.ceil(workgroups(variant, device, shape) / cores);
  return (rounds * rows * cols) / (SPEED[variant.name] ?? 1);
}

/** Speed on full tiles relative to the plain kernel, on the adapters that a variant is for. */
const SPEED: Readonly<Record<string, number>> = {
  matrix_128: 60,
  matrix_64: 40,
  tiles_128: 16,
  tiles_64: 12,
  tiles_32: 6,
  tiles_any_64: 8,
  tiles_any_32: 4,
  rows: 16,
  lanes_24: 16.5,
  lanes_16: 15.5,
  lanes_8: 11.5,
  lanes_any_16: 11,
  lanes_any_8: 8,
  plain: 1,
};

function workgroups(variant: MatmulVariant, device: MatmulDeviceFacts, shape: MatmulShape): number {
  const { m, n, batchOuter, batchInner } = shape;
  const batch = batchOuter * batchInner;
  const { rows, cols } = variant.tile(device, shape);
  if (variant === PLAIN) return Math.ceil((batch * m * n) / cols);
  return batch * Math.ceil(m / rows) * Math.ceil(n / cols);
}

/** The dispatches that compute `shape` by `variant`. */
export function planMatmul(
  variant: MatmulVariant,
  device: MatmulDeviceFacts,
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
  device: MatmulDeviceFacts,
  shape: MatmulShape,
): KernelDispatch {
  const { entry, constants } = variant.text(device, shape);
  return {
    name: variant.file,
    entry,
    options: { constants },
    params: matmulParams(shape),
    grid: [...foldGrid(workgroups(variant, device, shape)), 1],
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
    ...[s.innerA, s.innerB, s.innerC],
  ]);
}
