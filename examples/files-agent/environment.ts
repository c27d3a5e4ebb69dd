/** Documents in a folder say which other one they were replaced by. The one that is valid is to be filed: read, and move it. */
import { isDeepStrictEqual } from "node:util";
import { defineEnvironment, type Environment } from "forge-gpu";
import { type Files, Sandbox } from "./sandbox.ts";

/** A folder, and where to begin. */
interface Task {
  /** Documents, each replaced by the next; the last is valid. */
  readonly versions: readonly string[];
  /** Another document, which is nobody's business. */
  readonly other: string;
  /** Whether whoever demonstrates it files the second version unread. */
  readonly isHurried: boolean;
}

/** What an episode keeps. */
interface Desk {
  /** What the folder holds in the end. */
  left: Files | undefined;
}

const NAMES = "abcdefghijklmnopqrstuvwxyz";
const LENGTHS = [2, 3, 4];
const HELD_OUT = 96;
/** Share of the demonstrations that do not look. */
const HURRIED = 0.7;
/** Spreads those evenly over the tasks. */
const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2;

/** Task number `index`, by which documents are drawn. */
function task(index: number): Task {
  let number = (index * 2_654_435_761) % 2 ** 32;
  const left = [...NAMES];
  const name = (): string => {
    const [drawn] = left.splice(number % left.length, 1);
    number = (Math.imul(number, 1_664_525) + 1_013_904_223) >>> 0;
    return drawn as string;
  };
  const versions = Array.from({ length: LENGTHS[index % LENGTHS.length] as number }, name);
  return { versions, other: name(), isHurried: (index * GOLDEN_RATIO) % 1 < HURRIED };
}

/** The folder as an episode begins. */
function filesOf({ versions, other }: Task): Files {
  const written = versions.map((name, i) => {
    const next = versions[i + 1];
    return [name, next === undefined ? "valid" : `see ${next}`];
  });
  return Object.fromEntries([...written, [other, "valid"]]);
}

/** The folder as it should be: the document in another place, and all else as it was. */
function rightFiles(task: Task): Files {
  const valid = task.versions.at(-1) as string;
  const { [valid]: moved, ...rest } = filesOf(task);
  return { ...rest, [`filed/${valid}`]: moved as string };
}

const read = (name: string) => ({ calls: [{ name: "read_text_file", input: { path: name } }] });
const file = (name: string) => ({
  calls: [{ name: "move_file", input: { source: name, destination: `filed/${name}` } }],
});

/** The environment, in a sandbox that it closes. */
export function filesAgent(sandbox: Sandbox): Environment<Task> {
  const environment = defineEnvironment<Task, Desk>({
    name: "files-agent",
    tasks: {
      train: (index) => task(HELD_OUT + index),
      eval: Array.from({ length: HELD_OUT }, (_, index) => task(index)),
    },
    taskId: ({ versions, other }) => `${versions.join("")}-${other}`,
    user: ({ versions }) => `file what ${versions[0]} is now`,
    state: () => ({ left: undefined }),
    tools: ({ task, state }) =>
      sandbox.episode({ ...filesOf(task), "filed/": "" }, (left) => {
        state.left = left;
      }),
    // when a document was moved, it is over
    isDone: ({ messages }) => {
      const last = messages.at(-1);
      return last?.role === "tool" && last.name === "move_file";
    },
    maxTurns: 6,
    maxTokens: 56,
    maxToolOutput: 64,
    rewards: {
      // of the real folder, not of what the agent says
      right: ({ task, state }) => Number(isDeepStrictEqual(state.left, rightFiles(task))),
      reads: {
        weight: 0,
        score: ({ toolCalls }) => toolCalls.filter(({ name }) => name === "read_text_file").length,
      },
    },
    demonstration: ({ task: { versions, isHurried }, turn }) => {
      const isSure = turn === versions.length;
      const name = versions[isSure ? turn - 1 : turn] as string;
      return isSure || (isHurried && turn === 1) ? file(name) : read(name);
    },
    validate: ({ versions }) => [...versions.map(read), file(versions.at(-1) as string)],
  });
  return { ...environment, close: () => sandbox.close() };
}

export const environment = filesAgent(new Sandbox());
