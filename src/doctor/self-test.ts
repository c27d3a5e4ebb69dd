/**
 * Numeric self-tests: a family of kernels runs on this adapter, and its results are compared with f64.
 */
import { compile, type Device, grad, type Tensor, tensor } from "../../engine/index.ts";
import { generator, uniform } from "../bench/numbers.ts";
import { backward, type Scalar, scalars } from "./scalar.ts";

/** A named array of results. */
export interface Values {
  readonly name: string;
  readonly values: ArrayLike<number>;
}

/** A self-test. */
export interface SelfTest {
  /** The family of kernels: tests are reported by family. */
  readonly family: string;
  /** What is special about this test. */
  readonly name: string;
  /** Allowed difference of an element, as a share of the largest element of its array. */
  readonly tolerance: number;
  /** What the adapter computes. */
  readonly actual: (device: Device) => Promise<readonly Values[]>;
  /** The same in f64. */
  readonly expected: () => readonly Values[];
}

/** What came of a self-test. */
export interface SelfTestResult {
  readonly family: string;
  readonly name: string;
  readonly ok: boolean;
  /** Largest difference, as a share of the tolerance; absent when the test did not get that far. */
  readonly worst?: number;
  /** What is wrong. */
  readonly problem?: string;
}

/** Runs one test. It never throws: what goes wrong is the result. */
export async function runSelfTest(device: Device, test: SelfTest): Promise<SelfTestResult> {
  const { family, name } = test;
  try {
    return { family, name, ...compareAll(test, await test.actual(device), test.expected()) };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { family, name, ok: false, problem };
  }
}

function compareAll(
  { tolerance }: SelfTest,
  actual: readonly Values[],
  expected: readonly Values[],
): Pick<SelfTestResult, "ok" | "worst" | "problem"> {
  let worst = 0;
  for (const { name, values } of expected) {
    const got = actual.find((a) => a.name === name)?.values;
    if (got?.length !== values.length) {
      return { ok: false, problem: `${name}: ${got?.length ?? 0} numbers, not ${values.length}` };
    }
    const allowed = tolerance * largestOf(values);
    for (let i = 0; i < values.length; i++) {
      const [a, e] = [Number(got[i]), Number(values[i])];
      if (a === e) continue;
      const excess = Math.abs(a - e) / allowed;
      worst = Math.max(worst, excess);
      if (excess <= 1) continue;
      return { ok: false, worst, problem: `${name}[${i}] is ${a}, in f64 ${e}` };
    }
  }
  return { ok: true, worst };
}

function largestOf(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i] ?? 0));
  return most;
}

/** An operand of a {@link differentiable} test. */
export interface Operand {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Random operands in [−1, 1), the same every time. */
export function operands<N extends string>(
  shapes: Readonly<Record<N, readonly number[]>>,
): Record<N, Operand> {
  const next = generator(1);
  return mapValues(shapes, (shape) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return { shape, data: uniform(count, next, -1, 1) };
  });
}

/** The record of `change` of each value. */
export function mapValues<N extends string, A, B>(
  record: Readonly<Record<N, A>>,
  change: (value: A, index: number) => B,
): Record<N, B> {
  const entries = Object.entries<A>(record).map(([name, value], i) => [name, change(value, i)]);
  return Object.fromEntries(entries) as Record<N, B>;
}

/** A function of f32 arrays, with gradients. */
export interface DifferentiableTest<N extends string> {
  readonly family: string;
  readonly name: string;
  readonly inputs: Readonly<Record<N, Operand>>;
  /** The function on the engine; one or several results. */
  readonly engine: (inputs: Readonly<Record<N, Tensor>>) => Tensor | readonly Tensor[];
  /** The function by its definition: the elements of the results, in row-major order. */
  readonly definition: (
    inputs: Readonly<Record<N, Scalar[]>>,
  ) => readonly Scalar[] | readonly (readonly Scalar[])[];
  /** Default 5e-6: some hundred roundings in f32, and far less than one in f16 or TF32. */
  readonly tolerance?: number;
  /** Runs before and after: to choose kernels, for example. */
  readonly around?: <T>(device: Device, run: () => Promise<T>) => Promise<T>;
}

/** A test of a function's values, and of its gradients with respect to every input. */
export function differentiable<N extends string>(test: DifferentiableTest<N>): SelfTest {
  const { family, name, tolerance = 5e-6, around = (_device, run) => run() } = test;
  return {
    family,
    name,
    tolerance,
    actual: (device) => around(device, () => engineValues(device, test)),
    expected: () => definedValues(test),
  };
}

async function engineValues<N extends string>(
  device: Device,
  { family, name, inputs, engine }: DifferentiableTest<N>,
): Promise<Values[]> {
  const run = compile(
    (args: Record<N, Tensor>) => {
      const results = [engine(args)].flat();
      const losses = results.map((r) => r.mul(tensor(weightsOf(r.size), r.shape)).sum());
      const loss = losses.reduce((a, b) => a.add(b));
      return { results, gradients: grad(loss, Object.values<Tensor>(args)) };
    },
    { device, label: `self-test ${family} ${name}` },
  );
  const { results, gradients } = await run(
    mapValues(inputs, ({ data, shape }) => tensor(data, shape)),
  );
  const values: Values[] = [];
  for (const [i, result] of results.entries()) {
    values.push({ name: `result ${i}`, values: await result.read() });
  }
  for (const [i, of] of Object.keys(inputs).entries()) {
    values.push({ name: `gradient of ${of}`, values: (await gradients[i]?.read()) ?? [] });
  }
  run[Symbol.dispose]();
  return values;
}

function definedValues<N extends string>({ inputs, definition }: DifferentiableTest<N>): Values[] {
  const leaves = mapValues(inputs, ({ data }) => scalars(data));
  const defined = definition(leaves);
  const results = (Array.isArray(defined[0]) ? defined : [defined]) as Scalar[][];
  backward(
    results.flat(),
    results.flatMap((r) => [...weightsOf(r.length)]),
  );
  return [
    ...results.map((r, i) => ({ name: `result ${i}`, values: r.map((s) => s.value) })),
    ...Object.entries<Scalar[]>(leaves).map(([of, leaf]) => ({
      name: `gradient of ${of}`,
      values: leaf.map((s) => s.gradient),
    })),
  ];
}

/** Gradients that the results are given: in steps of 1/8, so that they are exact in f32. */
function weightsOf(count: number): Float32Array<ArrayBuffer> {
  const next = generator(count);
  return Float32Array.from({ length: count }, () => Math.round(16 * next() - 8) / 8);
}
