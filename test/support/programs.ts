/**
 * Random programs over tensors, for property tests of fusion and autograd.
 */
import { BOUNDS, type Known, pick, REPERTOIRES, type Repertoire, type Step } from "./steps.ts";

/** Values 0 … shapes.length − 1 are inputs; each step adds one. */
export interface Program {
  readonly shapes: readonly (readonly number[])[];
  readonly steps: readonly Step[];
}

/**
 * The program that lists of numbers stand for: any numbers give a valid one. Inputs are no larger than `bound`, and steps
 * whose values could be larger than `most` are left out.
 */
export function decode(
  repertoire: Repertoire,
  shapes: readonly (readonly number[])[],
  numbers: readonly (readonly number[])[],
  bound: number,
  most = BOUNDS[repertoire],
): Program {
  const values: Known[] = shapes.map((shape) => ({ shape, bound }));
  const steps: Step[] = [];
  for (const [kind = 0, ...picks] of numbers) {
    const made = pick(REPERTOIRES[repertoire], kind)(values, picks);
    if (!made || made.bound > most) continue;
    values.push(made);
    steps.push(made);
  }
  return { shapes, steps };
}

/** All values of a program: inputs, then steps. */
export function run<T>(
  program: Program,
  inputs: readonly T[],
  apply: (step: Step, args: T[]) => T,
): T[] {
  const values = [...inputs];
  for (const step of program.steps)
    values.push(
      apply(
        step,
        step.args.map((i) => values[i] as T),
      ),
    );
  return values;
}

/** The program as text, for failures. */
export function describeProgram({ shapes, steps }: Program): string {
  const inputs = shapes.map((s, i) => `v${i} = input [${s.join()}]`);
  return [
    ...inputs,
    ...steps.map(
      (s, i) => `v${shapes.length + i} = ${s.name}(${s.args.map((a) => `v${a}`).join()})`,
    ),
  ].join("\n");
}
