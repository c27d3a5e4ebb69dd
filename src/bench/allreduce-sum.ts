/** What the all-reduce benchmark sums, and whether the sum is right. */
import { createHash } from "node:crypto";
import type { WireType } from "../../cluster/index.ts";
import { generator } from "./numbers.ts";

/** How far a sum is from that in f64, and how far it may be. */
export interface SumCheck {
  /** SHA-256 of the sum's bytes, which all ranks must share. */
  readonly hash: string;
  readonly largestError: number;
  readonly bound: number;
}

/** Fills in what a rank gives: numbers from −0.5 to 0.5. */
export function fillContribution(contribution: Float32Array, rank: number): void {
  const next = generator(1 + rank);
  for (let i = 0; i < contribution.length; i++) contribution[i] = next() - 0.5;
}

/** Compares a sum with that of all ranks' contributions in f64. */
export function checkSum(sum: Float32Array, world: number, wire: WireType): SumCheck {
  const ranks = Array.from({ length: world }, (_, rank) => generator(1 + rank));
  let largestError = 0;
  for (const value of sum) {
    let exact = 0;
    for (const next of ranks) exact += Math.fround(next() - 0.5);
    const error = Number.isNaN(value) ? Number.POSITIVE_INFINITY : Math.abs(value - exact);
    largestError = Math.max(largestError, error);
  }
  const bytes = new Uint8Array(sum.buffer, sum.byteOffset, sum.byteLength);
  const hash = createHash("sha256").update(bytes).digest("hex");
  return { hash, largestError, bound: boundOf(world, wire) };
}

/**
 * What rounding can do to a sum of N numbers of at most a half. The sum of k of them is k/2 at most. Added in f32, each of the N − 1
 * sums is off by 2⁻²⁴ of itself at most; sent, what each of the first N − 1 ranks sends and what the last one hands round is off by
 * half a step: in bf16, of eight binary digits, 2⁻⁸ of itself; in int8, of 127 steps to the largest number of a block, 1/254 of
 * that one. So with Σ k/2 over k = 1 … N, which is N(N + 1)/4,
 *
 *   |error| ≤ N(N + 1)/4 · (2⁻²⁴ + 0, 2⁻⁸ or 1/254),
 *
 * and 2 % more of it, since what was rounded may be larger than k/2 by all errors before. One rank alone sends nothing.
 */
function boundOf(world: number, wire: WireType): number {
  if (world === 1) return 0;
  const step = 2 ** -24 + { f32: 0, bf16: 2 ** -8, int8: 1 / 254 }[wire];
  return (1.02 * step * world * (world + 1)) / 4;
}
