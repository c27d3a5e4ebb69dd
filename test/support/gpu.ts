/**
 * What GPU tests share: the device, comparison, random numbers. Imports nothing of Node: the same files run in a browser.
 */
import { expect } from "vitest";
import { type Device, openDevice, setDefaultDevice } from "../../engine/index.ts";
import type { Tolerance } from "./tolerances.ts";

let opened: Promise<Device> | undefined;

/** The device of this process, validation and robustness on, and the default one. Without an adapter the test fails. */
export async function device(): Promise<Device> {
  opened ??= openDevice({ debug: true });
  const shared = await opened;
  setDefaultDevice(shared);
  return shared;
}

/**
 * Fails unless each |actual − expected| ≤ abs + rel·|expected| + ofLargest·max|expected|; the message names the worst
 * element. NaN and infinities must be equal, whatever the tolerance.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  what = "values",
): void {
  if (actual.length !== expected.length) {
    expect.fail(`${what}: ${actual.length} elements instead of ${expected.length}`);
  }
  const { abs, rel, ofLargest = 0 } = tolerance;
  let largest = 0;
  if (ofLargest > 0) {
    for (let i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i] ?? 0));
    }
  }
  let worst = -1;
  let worstExcess = 1;
  let failures = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number];
    if (Object.is(a, e) || a === e) continue;
    const allowed = Number.isFinite(e) ? abs + rel * Math.abs(e) + ofLargest * largest : 0;
    const error = Math.abs(a - e);
    if (error <= allowed) continue;
    failures++;
    const isMeasured = Number.isFinite(error) && allowed > 0;
    const excess = isMeasured ? error / allowed : Number.POSITIVE_INFINITY;
    if (worst < 0 || excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (worst < 0) return;
  const [a, e] = [actual[worst] as number, expected[worst] as number];
  expect.fail(
    `${what}: ${failures} of ${expected.length} elements differ; worst at [${worst}]: ${a} instead of ${e} ` +
      `(difference ${Math.abs(a - e)}, allowed abs ${abs} + rel ${rel} + ofLargest ${ofLargest})`,
  );
}

/** Deterministic random numbers. */
export interface Randoms {
  /** A number in [0, 1). */
  next(): number;
  /** Floats in [low, high); default [−1, 1). */
  floats(count: number, low?: number, high?: number): Float32Array<ArrayBuffer>;
  /** Integers in [low, high). */
  integers(count: number, low: number, high: number): Int32Array<ArrayBuffer>;
}

/** A generator of its own for each seed (mulberry32). */
export function randoms(seed: number): Randoms {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    floats: (count, low = -1, high = 1) =>
      Float32Array.from({ length: count }, () => low + next() * (high - low)),
    integers: (count, low, high) =>
      Int32Array.from({ length: count }, () => low + Math.floor(next() * (high - low))),
  };
}
