/** Environments: tasks, how one is played, and how a play is rewarded. What a policy is trained on; needs no GPU. */
import { ForgeError } from "../../engine/error.ts";

/** What an agent asks of the policy. Of `prompt` and `append` it has one. */
export interface PolicyRequest {
  /** A context of its own: text, or token ids. */
  readonly prompt?: string | ArrayLike<number>;
  /** What comes behind the request before and its answer, whose ids stay as they are. */
  readonly append?: string | ArrayLike<number>;
  /** Most tokens to sample. Default: the environment's, else what the context has room for. */
  readonly maxTokens?: number;
  /** Strings that end the answer, which ends before them. */
  readonly stopStrings?: readonly string[];
}

/** An answer of the policy. */
export interface PolicyReply {
  /** Number of the request in its episode. */
  readonly requestIndex: number;
  readonly text: string;
  readonly ids: readonly number[];
  /** Why it ended, as `FinishReason` of a generation; "length" is a cut. */
  readonly finishReason: string;
}

/** The policy, as an agent sees it. Requests of one episode may overlap. */
export interface Policy {
  /** Errors: those of the sampler; `state_conflict` for an `append` without a request before. */
  generate(request: PolicyRequest): Promise<PolicyReply>;
}

/** What a play is given. */
export interface EpisodeContext<Task> {
  readonly task: Task;
  readonly policy: Policy;
  /** Of this episode: the same for the same run, task and sample. For environments that draw. */
  readonly seed: number;
  /** Aborted when the episode is cancelled or its deadline passes. */
  readonly signal: AbortSignal;
}

/** What rewards see: the whole play. */
export interface EpisodeTrace<Task> {
  readonly task: Task;
  /** In the order in which they were asked for. One or more. */
  readonly replies: readonly PolicyReply[];
  /** Text of the last one. */
  readonly text: string;
  /** What `play` returned. */
  readonly result: unknown;
}

/**
 * Value of a component; `null` where it does not apply. A component of kind `process` may give a value for each reply.
 */
export type Score = number | null | readonly (number | null)[];

/** A named part of the reward. */
export interface RewardComponent<Task> {
  /** Default 1; 0 is measured and not rewarded. */
  readonly weight?: number;
  /** Of the episode, or of its steps. Default `outcome`. */
  readonly kind?: "outcome" | "process";
  readonly score: (trace: EpisodeTrace<Task>) => Score | Promise<Score>;
}

/** A component, or its score alone. */
export type RewardDefinition<Task> = RewardComponent<Task> | RewardComponent<Task>["score"];

/** What the policy should have said: for a warm start. */
export interface Demonstration {
  readonly prompt: string;
  readonly response: string;
}

/** An environment, as it is written. */
export interface EnvironmentDefinition<Task> {
  readonly name: string;
  readonly tasks: {
    /** A list that is gone through again and again, or a function of the number of the task. */
    readonly train: readonly Task[] | ((index: number) => Task);
    /** Held out. Default: none. */
    readonly eval?: readonly Task[];
  };
  /** Names a task. Default: its number. */
  readonly taskId?: (task: Task, index: number) => string;
  /** For one request an episode: what the policy is to continue. */
  readonly prompt?: (task: Task) => string;
  /** For anything else. What it returns is the trace's `result`; what it throws makes the episode an `agent_error`. */
  readonly play?: (episode: EpisodeContext<Task>) => Promise<unknown>;
  /** Most tokens of an answer. */
  readonly maxTokens?: number;
  /** Strings that end an answer. */
  readonly stopStrings?: readonly string[];
  /** One or more, by name. */
  readonly rewards: Readonly<Record<string, RewardDefinition<Task>>>;
  /** Whether a play was a success. Default: its weighted outcome is 1 or more. */
  readonly isSuccess?: (trace: EpisodeTrace<Task>, outcome: number) => boolean;
  /** The right answer, for a warm start by supervised learning. */
  readonly demonstration?: (task: Task) => Demonstration;
  /**
   * Whether plays and rewards follow from task, seed and replies alone, and take no time worth waiting for: no clock, network
   * or process. Runs are then deterministic. While a request is out, the next must be asked before anything else is awaited.
   * Default: whether there is no `play` of its own.
   */
  readonly isPure?: boolean;
}

/** An environment, checked and complete. */
export interface Environment<Task = unknown> {
  readonly name: string;
  readonly train: (index: number) => Task;
  /** Tasks to train on; Infinity for a function. */
  readonly trainCount: number;
  readonly eval: readonly Task[];
  readonly taskId: (task: Task, index: number) => string;
  readonly play: (episode: EpisodeContext<Task>) => Promise<unknown>;
  readonly maxTokens: number | undefined;
  readonly stopStrings: readonly string[];
  readonly rewards: Readonly<Record<string, Required<RewardComponent<Task>>>>;
  readonly isSuccess: (trace: EpisodeTrace<Task>, outcome: number) => boolean;
  readonly demonstration: ((task: Task) => Demonstration) | undefined;
  readonly isPure: boolean;
}

/**
 * Checks and completes a definition.
 *
 * Errors    `argument_invalid` for one without tasks, without rewards, or with both or neither of `prompt` and `play`.
 */
export function defineEnvironment<Task>(
  definition: EnvironmentDefinition<Task>,
): Environment<Task> {
  const { name, tasks, prompt, play, rewards, demonstration, maxTokens } = definition;
  const { train } = tasks;
  const problem = problemOf(definition);
  if (problem) refuse(name, ...problem);
  return {
    name,
    train: typeof train === "function" ? train : (index) => train[index % train.length] as Task,
    trainCount: typeof train === "function" ? Number.POSITIVE_INFINITY : train.length,
    eval: tasks.eval ?? [],
    taskId: definition.taskId ?? ((_, index) => String(index)),
    play: play ?? (async ({ task, policy }) => policy.generate({ prompt: prompt?.(task) ?? "" })),
    maxTokens,
    stopStrings: definition.stopStrings ?? [],
    rewards: Object.fromEntries(
      Object.entries(rewards).map(([key, reward]) => {
        const component = typeof reward === "function" ? { score: reward } : reward;
        return [key, { weight: 1, kind: "outcome" as const, ...component }];
      }),
    ),
    isSuccess: definition.isSuccess ?? ((_, outcome) => outcome >= 1),
    demonstration,
    isPure: definition.isPure ?? play === undefined,
  };
}

function problemOf<Task>(definition: EnvironmentDefinition<Task>): [string, string] | undefined {
  const { tasks, prompt, play, rewards } = definition;
  if (Array.isArray(tasks.train) && tasks.train.length === 0)
    return ["tasks.train is empty", "give a task or more, or a function"];
  if ((prompt === undefined) === (play === undefined))
    return ["it has both or neither of prompt and play", "give one of them"];
  const bad = Object.entries(rewards).find(
    ([, r]) => typeof r !== "function" && !Number.isFinite(r.weight ?? 1),
  );
  if (bad) return [`the weight of reward "${bad[0]}" is not a finite number`, "correct it"];
  if (Object.keys(rewards).length === 0) return ["it has no rewards", "give one or more"];
  return undefined;
}

function refuse(name: string, why: string, fix: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: `environment "${name}" cannot be used.`,
    why,
    fix,
  });
}
