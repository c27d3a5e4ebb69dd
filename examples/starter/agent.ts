/** An agent that looks prices up. Edit the tasks, the tools and the reward: this file is all that training knows of them. */
import { defineEnvironment, tool } from "forge-gpu";
import { z } from "zod";

/** One task: what is asked, and what the shop knows. */
interface Task {
  readonly item: string;
  readonly price: number;
}

const ITEMS = ["pear", "plum", "lime", "date", "kiwi", "leek", "corn", "beet"];
const HELD_OUT = 64;

/** Task number `index`. Prices differ from task to task, so that nobody can know them by heart. */
function task(index: number): Task {
  const item = ITEMS[index % ITEMS.length] as string;
  return { item, price: 100 + ((index * 7919) % 899) };
}

export const environment = defineEnvironment<Task>({
  name: "prices",
  tasks: {
    train: (index) => task(HELD_OUT + index),
    // never trained on: what success is measured by
    eval: Array.from({ length: HELD_OUT }, (_, index) => task(index)),
  },
  taskId: ({ item, price }) => `${item}-${price}`,

  // what the agent is asked, and what it can do
  user: ({ item }) => `what is a ${item}?`,
  tools: ({ task }) => ({
    price: tool({
      description: "The price of an item, in cents.",
      input: z.object({ item: z.string() }),
      run: ({ item }) => {
        if (item !== task.item) throw new Error(`no ${item} here`);
        return task.price;
      },
    }),
  }),
  maxTurns: 3,
  maxTokens: 14,

  // what an episode is worth, from the whole of it; weight 0 is measured only
  rewards: {
    right: ({ task, text }) => Number(text === String(task.price)),
    calls: { weight: 0, score: ({ toolCalls }) => toolCalls.length },
  },

  // a model from random weights knows nothing, and is shown this first: how to look a price up, and how to guess one.
  // Which of the two is worth something, it learns from the reward.
  demonstration: ({ task, messages, turn }) => {
    if (turn === 1) return messages.at(-1)?.content ?? "";
    const isGuess = task.price % 2 === 0;
    return isGuess ? "500" : { calls: [{ name: "price", input: { item: task.item } }] };
  },
  // what is right must be rewarded: looked at before training begins
  validate: ({ item, price }) => [{ calls: [{ name: "price", input: { item } }] }, `${price}`],

  // no clock, no network: the same seed gives the same run
  isPure: true,
});
