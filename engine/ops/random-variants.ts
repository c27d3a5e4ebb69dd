/**
 * Kernels that fill an array with random numbers from a counter.
 *
 * Number i is a function of (seed, stream, call, i) alone: never of the array's length, the launch or the adapter.
 */
import { foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";

/** What the numbers are distributed as. */
export type RandomKind = "bits" | "uniform" | "normal" | "gumbel";

/**
 * Fills `count` values. Bindings: 1 stream u32 [3], see {@link streamWords} · 2 call u32 [1] · 3 values (u32 for bits, else f32).
 *
 * Params: count.
 */
export function fillRandom(kind: RandomKind, count: number): KernelDispatch {
  return {
    name: "random",
    entry: `random_${kind}`,
    options: {},
    params: paramWords([count]),
    grid: [...foldGrid(Math.ceil(count / 256)), 1],
  };
}

/** A stream as the kernels read it. The seed is an integer from 0 to 2^53. */
export function streamWords(seed: number, stream: number): Uint32Array {
  return Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32), stream);
}
