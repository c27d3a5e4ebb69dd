/** Problems of two steps, such as `(835-612)*8`, and a calculator that does one step at a time. */
import { defineEnvironment, tool } from "forge-gpu";
import { z } from "zod";

/** A problem. */
export interface Problem {
  /** What the user asks. */
  readonly text: string;
  /** What stands in the brackets: the first step. */
  readonly first: string;
  /** By which the second step multiplies. */
  readonly factor: number;
  /** Whether whoever demonstrates it takes the result of the first step for the answer. */
  readonly isHurried: boolean;
}

/** Problems that are played to see how good the agent is. */
const HELD_OUT = 128;
/** Share of the demonstrations that stop after the first step. */
const HURRIED = 0.45;

/** Numbers from 0 to below 1 that follow from a seed (mulberry32). */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Problem number `index` of those that are held out, or of the others: held out are those whose operands have a sum that 8
 * divides. Results have three digits, and four: see "Settings" of the page.
 */
function problem(index: number, isHeldOut: boolean): Problem {
  const random = numbersFrom(index);
  const whole = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1));
  for (;;) {
    const [a, b, factor] = [whole(100, 999), whole(100, 999), whole(2, 9)];
    const first = `${a}${random() < 0.5 ? "+" : "-"}${b}`;
    const result = calculate(first);
    const fits = result > 99 && result < 1000 && result * factor > 999;
    if (!fits || ((a + b) % 8 === 0) !== isHeldOut) continue;
    return { text: `(${first})*${factor}`, first, factor, isHurried: random() < HURRIED };
  }
}

/** Result of one operation on two whole numbers. Errors: anything else. */
function calculate(expression: string): number {
  const [, left, operator, right] = /^(-?\d+)([-+*])(-?\d+)$/.exec(expression) ?? [];
  const [a, b] = [Number(left), Number(right)];
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") return a * b;
  throw new Error("two numbers and an operator, please");
}

/** What is right. */
export function answer({ first, factor }: Problem): string {
  return String(calculate(first) * factor);
}

/** Problems to train on, and others that are held out. */
export const tasks = {
  train: (index: number): Problem => problem(index, false),
  eval: Array.from({ length: HELD_OUT }, (_, index) => problem(index, true)),
};

const call = (expression: string) => ({ calls: [{ name: "calc", input: { expression } }] });

export const environment = defineEnvironment<Problem>({
  name: "calculator-agent",
  tasks,
  taskId: ({ text }) => text,
  user: ({ text }) => text,
  tools: {
    calc: tool({
      description: "Adds, subtracts or multiplies two whole numbers.",
      input: z.object({ expression: z.string() }),
      run: ({ expression }) => calculate(expression),
    }),
  },
  maxTurns: 4,
  maxTokens: 16,
  rewards: { right: ({ task, text }) => Number(text === answer(task)) },
  demonstration: ({ task, turn, messages }) => {
    const result = messages.at(-1)?.content ?? "";
    if (turn === 0) return call(task.first);
    return turn === 1 && !task.isHurried ? call(`${result}*${task.factor}`) : result;
  },
  validate: (task) => [
    call(task.first),
    call(`${calculate(task.first)}*${task.factor}`),
    answer(task),
  ],
  isPure: true,
});
