/** Go on with a story. It is worth more if somebody speaks in it, and if somebody is glad. */
import { defineEnvironment } from "forge-gpu";

const NAMES = ["Lily", "Tom", "Mia", "Ben", "Sara", "Max", "Anna", "Tim", "Sue", "Jack", "Lucy"];
const PLACES = ["park", "garden", "beach", "forest", "kitchen", "farm", "lake"];
const COUNT = NAMES.length * PLACES.length;
const HELD_OUT = 22;

/** Opening number `index`. The first 77 are different: their numbers of names and places have no divisor in common. */
function opening(index: number): string {
  return `One day, ${NAMES[index % NAMES.length]} went to the ${PLACES[index % PLACES.length]}.`;
}

/** Something said, and closed again: three words or more between quotation marks. */
const SPEECH = /"[^"\s]+(?: [^"\s]+){2,}"/;
/** Words of gladness. Whole ones: "unhappy" is none. */
const GLADNESS = /\b(?:happy|happily|glad|proud|smiled|laughed)\b/;

/** Share of the words that are not said a second time. */
function variety(text: string): number {
  const words = text.toLowerCase().match(/[a-z']+/g) ?? [];
  return words.length === 0 ? 0 : new Set(words).size / words.length;
}

export const environment = defineEnvironment<string>({
  name: "story-agent",
  tasks: {
    train: Array.from({ length: COUNT - HELD_OUT }, (_, index) => opening(HELD_OUT + index)),
    eval: Array.from({ length: HELD_OUT }, (_, index) => opening(index)),
  },
  taskId: (task) => task,
  // a model without a chat template is given text, and goes on with it
  prompt: (task) => task,
  maxTokens: 72,
  rewards: {
    speech: { weight: 0.5, score: ({ text }) => Number(SPEECH.test(text)) },
    gladness: { weight: 0.5, score: ({ text }) => Number(GLADNESS.test(text)) },
    // measured only: what stories lose when the two above are all that counts
    variety: { weight: 0, score: ({ text }) => variety(text) },
  },
});
