/**
 * Oracle of `cluster/ring`: what an all-reduce leaves behind, an element or a block at a time, without buckets, chunks or
 * hops. Rounding is done on numbers and not on bits: f64 holds sums, products and quotients of two f32 well enough.
 */

export type Wire = "f32" | "bf16" | "int8";

const BLOCK = 256;

/** The nearest integer, ties to even. */
export function roundEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return x - below < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** The nearest bf16, ties to even: eight significant bits, and an exponent of −126 at least. */
export function bf16(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  let exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(x))));
  if (2 ** exponent > Math.abs(x)) exponent--;
  const quantum = 2 ** (Math.max(-126, exponent) - 7);
  const rounded = roundEven(x / quantum) * quantum || Math.sign(x) * 0;
  return Math.abs(rounded) < 2 ** 128 ? rounded : Math.sign(x) * Number.POSITIVE_INFINITY;
}

/** A block in int8. */
export interface Int8Block {
  readonly scale: number;
  readonly quotients: readonly number[];
  /** What the receivers read. */
  readonly values: readonly number[];
  /** What they do not. */
  readonly lost: readonly number[];
}

/** Up to 256 values, less what a scale of max|x| / 127 cannot say. */
export function int8Block(values: readonly number[]): Int8Block {
  const scale = Math.fround(Math.max(...values.map(Math.abs)) / 127);
  const quotients = values.map((x) => {
    const quotient = scale === 0 ? 0 : roundEven(Math.fround(x / scale));
    return Math.max(-127, Math.min(127, quotient)) + 0; // integers have no −0
  });
  const read = quotients.map((q) => Math.fround(q * scale));
  const lost = values.map((x, i) => Math.fround(x - (read[i] as number)));
  return { scale, quotients, values: read, lost };
}

/** What all ranks have at the end, and the residuals of each. */
export interface RingSum {
  readonly sum: Float32Array;
  readonly residuals: readonly Float32Array[];
}

/**
 * Block by block: which segment has it says who begins; each next rank adds its own to what it could read. Where contributions are
 * packed already (and given as what they are read as), who begins rounds nothing, and owes what it did.
 */
export function ringSum(
  contributions: readonly Float32Array[],
  wire: Wire,
  before: readonly Float32Array[] = contributions.map((own) => new Float32Array(own.length)),
  arePacked = false,
): RingSum {
  const world = contributions.length;
  const total = contributions[0]?.length ?? 0;
  const sum = new Float32Array(total);
  const residuals = before.map((residual) => residual.slice());
  const segments = segmentsOfBlocks(Math.ceil(total / BLOCK), world);
  for (const [block, segment] of segments.entries()) {
    const from = block * BLOCK;
    const of = (values: Float32Array | undefined): number[] =>
      Array.from((values as Float32Array).subarray(from, from + BLOCK));
    let read = of(contributions[segment]);
    for (let turn = 0; world > 1 && turn < world; turn++) {
      const rank = (segment + turn) % world;
      const own = of(contributions[rank]);
      const partial = turn === 0 ? own : own.map((x, i) => Math.fround((read[i] as number) + x));
      if (wire === "f32" || (arePacked && turn === 0)) {
        read = partial;
        continue;
      }
      if (wire === "bf16") read = partial.map(bf16);
      if (wire === "int8") {
        const residual = of(before[rank]);
        const packed = int8Block(partial.map((x, i) => Math.fround(x + (residual[i] as number))));
        read = [...packed.values];
        residuals[rank]?.set(packed.lost, from);
      }
    }
    sum.set(read, from);
  }
  return { sum, residuals };
}

/** The segment of each block, dealt out one at a time. */
function segmentsOfBlocks(blocks: number, world: number): number[] {
  const sizes = Array.from({ length: world }, () => 0);
  for (let block = 0; block < blocks; block++)
    sizes[block % world] = (sizes[block % world] ?? 0) + 1;
  return sizes.flatMap((size, segment) => Array.from({ length: size }, () => segment));
}
