/**
 * The choice of a matmul variant, as the tuner sees it: classes of products, and the products on which variants are
 * verified against the plain kernel and timed.
 */
import type { Arena, Candidate, Contest, TrialStep } from "../gpu/tuning.ts";
import {
  contiguousMatmul,
  MATMUL_VARIANTS,
  type MatmulDeviceFacts,
  type MatmulShape,
  type MatmulVariant,
  matmulCandidates,
  matmulShapeClass,
  planMatmul,
} from "./matmul-variants.ts";

/** A variant as a candidate for one shape. */
export interface MatmulCandidate extends Candidate {
  readonly variant: MatmulVariant;
}

/** Variants for `shape`, the best estimate first; those that round operands to f16 only with `canRound`. */
export function matmulContest(
  facts: MatmulDeviceFacts,
  shape: MatmulShape,
  canRound: boolean,
): Contest<MatmulCandidate> {
  const variants = matmulCandidates(facts, shape, { canRound });
  return {
    key: `matmul ${canRound ? "f16" : "f32"} ${matmulShapeClass(facts, shape)}`,
    candidates: variants.map((variant) => candidateOf(facts, shape, variant)),
    arena: () => classArena(facts, shape, variants),
  };
}

const PLAIN = MATMUL_VARIANTS.find((v) => v.name === "plain") as MatmulVariant;

function candidateOf(
  facts: MatmulDeviceFacts,
  shape: MatmulShape,
  variant: MatmulVariant,
): MatmulCandidate {
  const constants = Object.entries(variant.text(facts, shape).constants);
  return {
    name: variant.name,
    id: ["matmul", variant.name, shape.mode, ...constants.map((c) => c.join("="))].join(" "),
    isPlain: variant === PLAIN,
    variant,
    arena: () => edgeArena(facts, shape, variant),
  };
}

/** Elements behind c that must stay untouched. */
const CANARIES = 64;

/** A product of more than a tile with partial tiles at all edges, in two batches, with offsets and gaps between rows of c. */
function edgeArena(facts: MatmulDeviceFacts, shape: MatmulShape, variant: MatmulVariant): Arena {
  const edges = edgeShape(facts, shape, variant);
  const { m, n, k, batchInner } = edges;
  const ldc = n + 4;
  const product: MatmulShape = {
    ...edges,
    ldc,
    innerC: m * ldc,
    offsetA: 4,
    offsetB: 8,
    offsetC: 12,
  };
  const count = product.offsetC + batchInner * m * ldc + CANARIES;
  const { steps, scratchElements } = planMatmul(variant, facts, product);
  return {
    buffers: {
      a: randomNumbers(product.offsetA + batchInner * m * k, variant.isRounding),
      b: randomNumbers(product.offsetB + batchInner * k * n, variant.isRounding),
      c: count,
      expected: count,
      scratch: scratchElements,
    },
    steps: () => steps,
    plainSteps: plainSteps(facts, product),
    actual: { buffer: "c", from: 0 },
    expected: { buffer: "expected", from: 0 },
    count,
    tolerance: () => toleranceOf(variant, k),
  };
}

function edgeShape(
  facts: MatmulDeviceFacts,
  shape: MatmulShape,
  variant: MatmulVariant,
): MatmulShape {
  const { rows, cols } = variant.tile(facts, shape);
  const isWide = variant.hook === "store4";
  const sizes = { n: cols + (isWide ? 4 : 3), k: isWide ? 148 : 149, batch: 2 };
  const m = rows + (isWide ? 68 : 69);
  const edges = contiguousMatmul(shape.mode, { m, ...sizes });
  // Kernels for few rows are made for their number.
  const isFit = variant.supports(facts, edges);
  return isFit ? edges : contiguousMatmul(shape.mode, { m: shape.m, ...sizes });
}

/** Largest trial: elements of a buffer (the least that every adapter can bind is 2^25), and multiplications. */
const MOST_ELEMENTS = 2 ** 24;
const MOST_PRODUCTS = { software: 2 ** 27, hardware: 2 ** 36 };
/** Sizes are halved no further than to this, in steps of this: every kind of tile still finds its edges. */
const SMALLEST = 128;
/** Rows of c that are compared. */
const COMPARED_ROWS = 8;

/** A product with the sizes of `shape`, as far as they are affordable; its last rows are verified. */
function classArena(
  facts: MatmulDeviceFacts,
  shape: MatmulShape,
  variants: readonly MatmulVariant[],
): Arena<MatmulCandidate> {
  const product = affordable(facts, shape);
  const { mode, m, n, k, batchInner: batch } = product;
  const rows = Math.min(COMPARED_ROWS, m);
  const last = batch - 1;
  const sample: MatmulShape = {
    ...product,
    m: rows,
    batchInner: 1,
    offsetA: last * product.innerA + (m - rows) * (mode === "TN" ? 1 : product.lda),
    offsetB: last * product.innerB,
  };
  const plans = new Map(variants.map((v) => [v, planMatmul(v, facts, product)]));
  const isRounding = variants.some((v) => v.isRounding);
  return {
    buffers: {
      a: randomNumbers(batch * m * k, isRounding),
      b: randomNumbers(batch * k * n, isRounding),
      c: batch * m * n,
      expected: rows * n,
      scratch: Math.max(...[...plans.values()].map((plan) => plan.scratchElements)),
    },
    steps: ({ variant }) => plans.get(variant)?.steps ?? [],
    plainSteps: plainSteps(facts, sample),
    actual: { buffer: "c", from: (last * m + m - rows) * n },
    expected: { buffer: "expected", from: 0 },
    count: rows * n,
    tolerance: ({ variant }) => toleranceOf(variant, k),
  };
}

function affordable(facts: MatmulDeviceFacts, shape: MatmulShape): MatmulShape {
  const sizes = { m: shape.m, n: shape.n, k: shape.k, batch: shape.batchOuter * shape.batchInner };
  const most = facts.isSoftware ? MOST_PRODUCTS.software : MOST_PRODUCTS.hardware;
  const isTooLarge = ({ m, n, k, batch }: typeof sizes): boolean =>
    batch * m * n * k > most || batch * Math.max(m * n, m * k, n * k) > MOST_ELEMENTS;
  while (isTooLarge(sizes)) {
    const largest = (["m", "n", "k"] as const).reduce((x, y) => (sizes[y] > sizes[x] ? y : x));
    if (sizes.batch > 1) sizes.batch = Math.ceil(sizes.batch / 2);
    else sizes[largest] = Math.ceil(sizes[largest] / 2 / SMALLEST) * SMALLEST;
  }
  return contiguousMatmul(shape.mode, sizes);
}

function plainSteps(facts: MatmulDeviceFacts, shape: MatmulShape): readonly TrialStep[] {
  const [step] = planMatmul(PLAIN, facts, shape).steps;
  return step ? [{ dispatch: step.dispatch, operands: ["a", "b", "expected"] }] : [];
}

/**
 * Largest difference from the plain kernel for operands in [-1, 1): both sum k products in f32, in different orders, each
 * with an error below 4 · 2^-24 · k. Tensor cores align the products of a block before they add them, and drop the bits
 * that stick out: three bits more. Sums in f16 would be off by 2^-11 of themselves, and be found out.
 */
function toleranceOf(variant: MatmulVariant, k: number): number {
  return (variant.isRounding ? 8 : 1) * 2 ** -21 * k;
}

/**
 * Random numbers in [-1, 1), the same ones every time (xorshift, Marsaglia 2003); with `isRounded` multiples of 2^-8, which f16 holds exactly: then
 * what is measured is the kernel, and not the rounding of its operands.
 */
function randomNumbers(count: number, isRounded: boolean): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(count);
  let state = 0x2545f491;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const number = state / 2 ** 31;
    numbers[i] = isRounded ? Math.round(number * 256) / 256 : number;
  }
  return numbers;
}
