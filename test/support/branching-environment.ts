/**
 * Episodes of five requests, two of which are sub-agents' and overlap, by an agent that dawdles: between its requests it lets the
 * event loop turn as often as chance will have it, and so does what compares the episodes of a group. Nothing of a deterministic
 * run may depend on that.
 */
import { defineEnvironment } from "forge-gpu";

const LETTERS = "abcdefgh";
/** What a tokenizer needs for it. */
export const ALPHABET = `${LETTERS}xy>=`;

function word(index: number): string {
  return [0, 1, 2].map((k) => LETTERS[(index * (k + 3) + k) % LETTERS.length]).join("");
}

async function dawdle(): Promise<void> {
  for (let turns = Math.floor(4 * Math.random()); turns > 0; turns--)
    if (Math.random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
    else await null;
}

/** Share of the letters that are among the first four. */
function share(text: string): number {
  return [...text].filter((letter) => "abcd".includes(letter)).length / Math.max(1, text.length);
}

export const environment = defineEnvironment<string>({
  name: "branches",
  tasks: {
    train: Array.from({ length: 12 }, (_, index) => word(index)),
    eval: ["abc", "hgf", "ddd"],
  },
  isPure: true,
  play: async ({ task, policy, attach }) => {
    const call = { requestIndex: 0, role: "main", name: "dawdle", input: {}, content: "" };
    const toolCalls = [{ ...call, status: "ok" as const, isCut: false, ms: Math.random() }];
    attach({ messages: [], state: undefined, toolCalls });
    await dawdle();
    const plan = await policy.generate({ prompt: `${task}>`, maxTokens: 3 });
    await dawdle();
    const asides = await Promise.all([
      policy.generate({ prompt: `x${task}>`, maxTokens: 2, role: "x", parent: 0 }),
      policy.generate({ prompt: `y${task}>`, maxTokens: 6, role: "y", parent: 0 }),
    ]);
    await dawdle();
    // the history is rewritten here, and continued there
    await policy.generate({ prompt: `${task}>${plan.text}=${asides[0].text}`, maxTokens: 4 });
    await dawdle();
    await policy.generate({ append: "=", maxTokens: 3 });
  },
  rewards: {
    letters: ({ text }) => share(text),
    thrift: {
      kind: "process",
      score: ({ replies }) => replies.map(({ ids }) => (ids.length % 2 === 1 ? 1 : null)),
    },
  },
  groupRewards: {
    terse: {
      weight: 0.1,
      score: async (traces) => {
        await dawdle();
        const lengths = traces.map(({ text }) => text.length);
        return lengths.map((own) => lengths.filter((other) => other > own).length);
      },
    },
  },
  isSuccess: (_, outcome) => outcome >= 0.5,
  demonstration: (task) => ({ prompt: `${task}>`, response: "abc" }),
});
