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
 * What rounding can do to a sum of `world` numbers of at most a half, half of the last place of the largest partial sum at a
 * time: at each addition in f32; in other wire types, besides, whenever a partial sum is sent, and when the sum is.
 */
function boundOf(world: number, wire: WireType): number {
  const largest = world / 2;
  const ofAdding = (world - 1) * largest * 2 ** -24;
  const ofSending = { f32: 0, bf16: 2 ** -8, int8: 1 / 254 }[wire] * world * largest;
  // partial sums that were rounded may be a little larger than the largest
  return 1.1 * (ofAdding + ofSending);
}
