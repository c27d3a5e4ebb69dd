/** Write a word backwards. The reward is the share of letters in their places. */
import { defineEnvironment } from "forge-gpu";

const LETTERS = "abcdefghijklmnop";
const LENGTH = 6;
const HELD_OUT = 64;

/** Word number `index`: all words of so many letters, in an order that looks like none. */
function word(index: number): string {
  let number = (index * 2_654_435_761 + 12_345) % LETTERS.length ** LENGTH;
  let text = "";
  for (let i = 0; i < LENGTH; i++) {
    text += LETTERS[number % LETTERS.length];
    number = Math.floor(number / LETTERS.length);
  }
  return text;
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
  maxTokens: LENGTH + 2,
  rewards: { letters: ({ task, text }) => share(reversed(task), text) },
  demonstration: (task) => ({ prompt: `${task}>`, response: reversed(task) }),
});
