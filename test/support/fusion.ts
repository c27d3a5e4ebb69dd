/**
 * What fusion promises, as a property of random programs: `test/engine/graph/fusion.test.ts` holds it for a few of them,
 * `test/soak/fusion.test.ts` for many.
 */
import fc from "fast-check";
import { expect } from "vitest";
import { type DType, fromHalf, type Tensor, tensor } from "../../engine/index.ts";
import { array, count, type NdArray } from "../reference/array.ts";
import { evaluate } from "./evaluate.ts";
import { device, expectClose, randoms } from "./gpu.ts";
import { decode, describeProgram, type Program, run } from "./programs.ts";
import type { Repertoire } from "./steps.ts";
import { TOLERANCES } from "./tolerances.ts";

const SHAPES = [[3, 4], [4], [3, 1], [2, 3, 4]];

/** Random programs. */
function programs(repertoire: Repertoire, bound: number, most?: number): fc.Arbitrary<Program> {
  const step = fc.array(fc.nat(10_000), { minLength: 5, maxLength: 5 });
  return fc
    .array(step, { minLength: 2, maxLength: 12 })
    .map((numbers) => decode(repertoire, SHAPES, numbers, bound, most));
}

function inputsOf(make: (n: number) => ArrayLike<number>): NdArray[] {
  return SHAPES.map((shape) => array(shape, make(count(shape))));
}

const of = (x: NdArray, dtype: DType = "f32"): Tensor =>
  tensor(Float32Array.from(x.data), x.shape, dtype);

/** The last value, every value that nothing uses, and one in the middle: evaluated in one plan over poisoned memory. */
async function fused(
  program: Program,
  inputs: readonly NdArray[],
  dtype: DType = "f32",
): Promise<Map<number, NdArray>> {
  const used = new Set(program.steps.flatMap((s) => s.args));
  const last = inputs.length + program.steps.length - 1;
  const middle = inputs.length + Math.floor(program.steps.length / 2);
  const wanted = Array.from({ length: last + 1 }, (_, i) => i).filter(
    (i) => i >= inputs.length && (!used.has(i) || i === middle || i === last),
  );
  const expected = run<NdArray>(program, inputs, (step, args) => step.value(...args));
  const { values } = await evaluate(await device(), () => {
    const tensors = inputs.map((x) => of(x, dtype));
    const made = run<Tensor>(program, tensors, (step, args) => step.tensor(...args));
    expect(new Set(made.map((t) => t.dtype))).toEqual(new Set([dtype]));
    expect(made.map((t) => t.shape)).toEqual(expected.map((x) => x.shape));
    return Object.fromEntries(wanted.map((i) => [`v${i}`, made[i] as Tensor]));
  });
  const numbers = (i: number): number[] => {
    const stored = Array.from(values[`v${i}`] ?? []);
    return dtype === "f16" ? stored.map(fromHalf) : stored;
  };
  return new Map(wanted.map((i) => [i, array(expected[i]?.shape ?? [], numbers(i))]));
}

/** Every value on its own: each step reads its operands back from the host. */
async function stepByStep(program: Program, inputs: readonly NdArray[]): Promise<NdArray[]> {
  const values = [...inputs];
  for (const step of program.steps) {
    const result = step.tensor(...step.args.map((i) => of(values[i] as NdArray)));
    values.push(array(result.shape, await result.read()));
  }
  return values;
}

async function holds(
  arbitrary: fc.Arbitrary<Program>,
  runs: Runs,
  check: (program: Program, seed: number) => Promise<void>,
): Promise<void> {
  const property = fc.asyncProperty(arbitrary, fc.nat(1000), async (program, seed) => {
    try {
      await check(program, seed);
    } catch (cause) {
      throw new Error(`${String(cause)}\nin the program\n${describeProgram(program)}`, { cause });
    }
  });
  await fc.assert(property, runs);
}

/** How many programs, and which. */
export interface Runs {
  readonly numRuns: number;
  /** A fixed seed keeps the set of kernel texts, and so the time, the same from run to run. */
  readonly seed?: number;
}

/** Largest integer up to which all are exact, but for a factor of two; i32 is multiplied by way of f32. */
const EXACT = { f32: 2 ** 20, i32: 2 ** 20, f16: 2 ** 10 };

/** Integers through maps, views, reductions and products are what the definition gives, to the bit. */
export async function expectExactFusion(
  runs: Runs,
  dtype: keyof typeof EXACT = "f32",
): Promise<void> {
  await holds(programs("exact", 3, EXACT[dtype]), runs, async (program, seed) => {
    const inputs = inputsOf((n) => randoms(seed).integers(n, -3, 4));
    const expected = run<NdArray>(program, inputs, (step, args) => step.value(...args));
    for (const [i, actual] of await fused(program, inputs, dtype)) {
      expectClose(actual.data, expected[i]?.data ?? [], TOLERANCES.exact, `v${i}`);
    }
  });
}

/**
 * Values differ from op-by-op evaluation by a few ulp of the largest intermediate: sums may come in another order, and
 * drivers may simplify what they see whole, a + (b − a) to b, or a·b + a·c to a·(b + c).
 */
export async function expectCloseFusion(runs: Runs): Promise<void> {
  await holds(programs("continuous", 1), runs, async (program, seed) => {
    const inputs = inputsOf((n) => randoms(seed).floats(n));
    const expected = await stepByStep(program, inputs);
    const largest = Math.max(...expected.flatMap((v) => v.data.map(Math.abs)));
    for (const [i, actual] of await fused(program, inputs)) {
      const { abs, rel } = TOLERANCES.reordered;
      expectClose(actual.data, expected[i]?.data ?? [], { abs: abs * largest, rel }, `v${i}`);
    }
  });
}
