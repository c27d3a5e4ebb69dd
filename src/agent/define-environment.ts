/** `defineEnvironment`: from what an author writes to what a run plays. */
import { ForgeError } from "../../engine/error.ts";
import { type AgentEnvironmentDefinition, agentParts } from "./agent-environment.ts";
import type {
  CommonDefinition,
  Environment,
  EnvironmentDefinition,
  EpisodeTrace,
  RewardDefinition,
} from "./environment.ts";
import { taskStream } from "./task-stream.ts";

/** What tells one kind of definition from another: overloads are chosen by what must be there. */
type Having<Definition, Key extends keyof Definition> = Definition & {
  readonly [K in Key]-?: NonNullable<Definition[K]>;
};

/**
 * Checks and completes a definition: of an agent with `user` or `agent`, and maybe tools; of plain requests with `prompt`
 * or `play`.
 *
 * Errors    `argument_invalid` for one without tasks, without rewards, and for one that says in two ways how it is played,
 *           or in none.
 */
export function defineEnvironment<Task, State = undefined, Result = string>(
  definition: Having<AgentEnvironmentDefinition<Task, State, Result>, "user">,
): Environment<Task>;
export function defineEnvironment<Task, State = undefined, Result = string>(
  definition: Having<AgentEnvironmentDefinition<Task, State, Result>, "agent">,
): Environment<Task>;
export function defineEnvironment<Task>(definition: EnvironmentDefinition<Task>): Environment<Task>;
export function defineEnvironment<Task>(
  definition: EnvironmentDefinition<Task> | AgentEnvironmentDefinition<Task, unknown, unknown>,
): Environment<Task> {
  const problem = problemOf(definition);
  if (problem) refuse(definition.name, ...problem);
  if ("user" in definition || "agent" in definition) {
    const { common, ...parts } = agentParts(definition);
    return { ...completed(common), ...parts };
  }
  const { prompt, play, demonstration } = definition as EnvironmentDefinition<Task>;
  return {
    ...completed(definition as EnvironmentDefinition<Task>),
    play: play ?? (async ({ task, policy }) => policy.generate({ prompt: prompt?.(task) ?? "" })),
    demonstration,
    demonstrate: undefined,
    validate: undefined,
    isPure: (definition as EnvironmentDefinition<Task>).isPure ?? play === undefined,
    close: async () => {},
  };
}

/** What both kinds have in common. */
function completed<Task>(
  definition: CommonDefinition<Task, EpisodeTrace<Task>>,
): Omit<
  Environment<Task>,
  "play" | "demonstration" | "demonstrate" | "validate" | "isPure" | "close"
> {
  const { name, tasks, rewards, groupRewards = {}, maxTokens, episodeTimeoutMs } = definition;
  const { train, count } = trainingTasks(tasks.train);
  return {
    ...{ name, train, trainCount: count, maxTokens, episodeTimeoutMs },
    eval: tasks.eval ?? [],
    taskId: definition.taskId ?? ((_, index) => String(index)),
    stopStrings: definition.stopStrings ?? [],
    rewards: mapped(rewards, (reward: RewardDefinition<Task>) => ({
      ...{ weight: 1, kind: "outcome" as const },
      ...(typeof reward === "function" ? { score: reward } : reward),
    })),
    groupRewards: mapped(groupRewards, (reward) => ({ weight: 1, ...reward })),
    isSuccess: definition.isSuccess ?? ((_, outcome) => outcome >= 1),
  };
}

function trainingTasks<Task>(source: CommonDefinition<Task, unknown>["tasks"]["train"]): {
  readonly train: (index: number) => Task;
  readonly count: number;
} {
  if (typeof source !== "function")
    return { train: (index) => source[index % source.length] as Task, count: source.length };
  const isGenerator = Object.prototype.toString.call(source) === "[object GeneratorFunction]";
  const train = isGenerator
    ? taskStream(source as () => Generator<Task>)
    : (source as (index: number) => Task);
  return { train, count: Number.POSITIVE_INFINITY };
}

function mapped<From, To>(
  record: Readonly<Record<string, From>>,
  to: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value)]));
}

type Definition = Partial<EnvironmentDefinition<never>> &
  Partial<AgentEnvironmentDefinition<never, unknown, unknown>>;

function problemOf(definition: object): [why: string, fix: string] | undefined {
  const { tasks, prompt, play, user, agent, rewards, groupRewards } = definition as Definition;
  if (Array.isArray(tasks?.train) && tasks.train.length === 0)
    return ["tasks.train is empty", "give a task or more, or a function"];
  const ways = [prompt, play, user ?? agent].filter((way) => way !== undefined).length;
  if (ways === 0 || ways > 1) {
    const why =
      ways === 0 ? "nothing says how it is played" : "it says in two ways how it is played";
    return [why, "give one of prompt, play, and user or agent"];
  }
  const all = Object.entries({ ...rewards, ...groupRewards });
  const bad = all.find(([, r]) => typeof r !== "function" && !Number.isFinite(r.weight ?? 1));
  if (bad) return [`the weight of reward "${bad[0]}" is not a finite number`, "correct it"];
  const twice = Object.keys(groupRewards ?? {}).find((key) => Object.hasOwn(rewards ?? {}, key));
  if (twice) return [`it has two rewards with the name "${twice}"`, "rename one"];
  return all.length === 0 ? ["it has no rewards", "give one or more"] : undefined;
}

function refuse(name: string, why: string, fix: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: `environment "${name}" cannot be used.`,
    why,
    fix,
  });
}
