/**
 * Kernels that fill an array with random numbers from a counter.
 *
 * Number i of a stream is a function of (seed, stream, i) alone: never of the array's length, the launch or the adapter.
 * The functions of `shaders/random.wgsl` also go into generated kernels.
 */
import { foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";

/** What the numbers are distributed as. */
export type RandomKind = "bits" | "uniform" | "normal" | "gumbel";

/** Which numbers of which stream. Seed and offset are integers up to 2^53. */
export interface RandomSlice {
  readonly seed: number;
  /** Default 0. */
  readonly stream?: number;
  /** Number of the stream that comes first. Default 0. */
  readonly offset?: number;
  readonly count: number;
}

/**
 * Fills `count` values. Bindings: 1 values (u32 for bits, else f32).
 *
 * Params: seed_low, seed_high, stream, offset_low, offset_high, count.
 */
export function fillRandom(
  kind: RandomKind,
  { seed, stream = 0, offset = 0, count }: RandomSlice,
): KernelDispatch {
  return {
    name: "random",
    entry: `random_${kind}`,
    options: {},
    params: paramWords([...lowHigh(seed), stream, ...lowHigh(offset), count]),
    grid: [...foldGrid(Math.ceil((count + (offset % 4)) / 256)), 1],
  };
}

function lowHigh(value: number): [number, number] {
  return [value % 2 ** 32, Math.floor(value / 2 ** 32)];
}
