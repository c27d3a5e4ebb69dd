/** Write a word backwards. The reward is the share of letters in their places. */
import { defineEnvironment } from "forge-gpu";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const LENGTHS = [4, 5, 6];
const HELD_OUT = 96;

/** Word number `index`. No two of the first 26⁴ are the same: the factor has no divisor in common with 26. */
function word(index: number): string {
  const length = LENGTHS[index % LENGTHS.length] as number;
  const number = (index * 2_654_435_761) % LETTERS.length ** length;
  return Array.from(
    { length },
    (_, i) => LETTERS[Math.floor(number / LETTERS.length ** i) % LETTERS.length],
  ).join("");
}

function reversed(text: string): string {
  return [...text].reverse().join("");
}

/** Share of the letters of `wanted` that stand in their places, less a letter for each one too many. */
function share(wanted: string, got: string): number {
  const right = [...wanted].filter((letter, i) => got[i] === letter).length;
  return Math.max(0, right - Math.max(0, got.length - wanted.length)) / wanted.length;
}

export const environment = defineEnvironment<string>({
  name: "reverse-text",
  tasks: {
    // the first words are held out
    train: (index) => word(HELD_OUT + index),
    eval: Array.from({ length: HELD_OUT }, (_, index) => word(index)),
  },
  taskId: (task) => task,
  prompt: (task) => `${task}>`,
  maxTokens: Math.max(...LENGTHS) + 2,
  rewards: { letters: ({ task, text }) => share(reversed(task), text) },
  demonstration: (task) => ({ prompt: `${task}>`, response: reversed(task) }),
});
