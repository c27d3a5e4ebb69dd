/** An ordinary agent of the Vercel AI SDK, trained in process: where does somebody's boss sit? */
import { generateText, stepCountIs } from "ai";
import { defineAgent, defineEnvironment, tool } from "forge-gpu";
import { z } from "zod";

/** A question, and what the office knows. */
interface Task {
  readonly name: string;
  readonly boss: string;
  /** By name. */
  readonly rooms: Readonly<Record<string, string>>;
  /** Whether whoever demonstrates it looks up the room of the one who is named. */
  readonly isHurried: boolean;
}

const NAMES = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ida", "jim", "kay", "leo"];
const HELD_OUT = 96;
/** Share of the demonstrations that forget the boss. */
const HURRIED = 0.6;
/** Spreads those evenly over the tasks. */
const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2;

/** Task number `index`. Rooms differ from task to task, so that nobody can know them by heart. */
function task(index: number): Task {
  const pair = index % (NAMES.length * (NAMES.length - 1));
  const at = pair % NAMES.length;
  const boss = NAMES[(at + 1 + Math.floor(pair / NAMES.length)) % NAMES.length] as string;
  const name = NAMES[at] as string;
  const room = (salt: number): string => String(10 + ((index * 7919 + salt) % 90));
  const isHurried = (index * GOLDEN_RATIO) % 1 < HURRIED;
  return { name, boss, rooms: { [name]: room(0), [boss]: room(37) }, isHurried };
}

/** What you have, if you have an agent: a function that asks a model. Here the model is the policy. */
const agent = defineAgent<Task, undefined, string>(
  async ({ task, model, tools, maxTurns, signal }) => {
    const { text } = await generateText({
      model,
      tools: tools.forAiSdk(),
      prompt: `where is the boss of ${task.name}?`,
      stopWhen: stepCountIs(maxTurns),
      abortSignal: signal,
    });
    return text;
  },
);

export const environment = defineEnvironment<Task>({
  name: "ai-sdk-agent",
  tasks: {
    train: (index) => task(HELD_OUT + index),
    eval: Array.from({ length: HELD_OUT }, (_, index) => task(index)),
  },
  taskId: ({ name, rooms }) => `${name}-${Object.values(rooms).join("-")}`,
  tools: ({ task: { name, boss, rooms } }) => ({
    boss: tool({
      description: "Name of somebody's boss.",
      input: z.object({ name: z.string() }),
      run: (input) => {
        if (input.name !== name) throw new Error("unknown");
        return boss;
      },
    }),
    room: tool({
      description: "Number of somebody's room.",
      input: z.object({ name: z.string() }),
      run: (input) => {
        const room = Object.hasOwn(rooms, input.name) ? rooms[input.name] : undefined;
        if (room === undefined) throw new Error("unknown");
        return room;
      },
    }),
  }),
  agent,
  maxTurns: 4,
  maxTokens: 12,
  rewards: { right: ({ task: { boss, rooms }, result }) => Number(result === rooms[boss]) },
  demonstration: ({ task: { name, isHurried }, turn, messages }) => {
    const told = messages.at(-1)?.content ?? "";
    if (turn === 0) return { calls: [{ name: isHurried ? "room" : "boss", input: { name } }] };
    if (turn === 1 && !isHurried) return { calls: [{ name: "room", input: { name: told } }] };
    return told;
  },
  validate: ({ name, boss, rooms }) => [
    { calls: [{ name: "boss", input: { name } }] },
    { calls: [{ name: "room", input: { name: boss } }] },
    rooms[boss] as string,
  ],
  // no clock, no network: the same seed gives the same run
  isPure: true,
});
