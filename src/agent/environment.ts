/** Environments: tasks, how one is played, and how a play is rewarded. What a policy is trained on; needs no GPU. */
import type { Message, ToolCallRecord, ToolDefinition } from "./message.ts";
import type { Policy, PolicyReply } from "./policy.ts";

/** What a play is given. */
export interface EpisodeContext<Task> {
  readonly task: Task;
  readonly policy: Policy;
  /** Of this episode: the same for the same run, task and sample. For environments that draw. */
  readonly seed: number;
  /** Aborted when the episode is cancelled or its deadline passes. */
  readonly signal: AbortSignal;
  /** Hands over what rewards and records are to see, however the play ends. It may still grow. */
  attach(details: EpisodeDetails): void;
}

/** What is known of a play beside what the policy said. */
export interface EpisodeDetails {
  /** The chat of the main agent as it stands. */
  readonly messages: readonly Message[];
  /** In the order in which they ended. */
  readonly toolCalls: readonly ToolCallRecord[];
  /** The environment's own. */
  readonly state: unknown;
}

/** What rewards see: the whole play. */
export interface EpisodeTrace<Task> {
  readonly task: Task;
  /** In the order in which they were asked for. One or more. */
  readonly replies: readonly PolicyReply[];
  /** Text of the last one. */
  readonly text: string;
  /** What `play` returned; undefined for one that was cut. */
  readonly result: unknown;
  /** What `play` attached. */
  readonly details: EpisodeDetails | undefined;
  /** Whether it was cut: for want of room, or by the limit of the last reply. */
  readonly isTruncated: boolean;
}

/**
 * Value of a component; `null` where it does not apply. A component of kind `process` may give a value for each reply.
 */
export type Score = number | null | readonly (number | null)[];

/** A named part of the reward. */
export interface RewardComponent<Task, Trace = EpisodeTrace<Task>> {
  /** Default 1; 0 is measured and not rewarded. */
  readonly weight?: number;
  /** Of the episode, or of its steps. Default `outcome`. */
  readonly kind?: "outcome" | "process";
  readonly score: (trace: Trace) => Score | Promise<Score>;
}

/** A component, or its score alone. */
export type RewardDefinition<Task, Trace = EpisodeTrace<Task>> =
  | RewardComponent<Task, Trace>
  | RewardComponent<Task, Trace>["score"];

/** What the policy should have said: for a warm start. */
export interface Demonstration {
  readonly prompt: string;
  readonly response: string;
}

/** A reward that compares the plays of a task with each other. */
export interface GroupReward<Task, Trace = EpisodeTrace<Task>> {
  /** Default 1; 0 is measured and not rewarded. */
  readonly weight?: number;
  /** Of each play, in their order; `null` where it does not apply. Plays that failed are not among them. */
  readonly score: (
    traces: readonly Trace[],
  ) => readonly (number | null)[] | Promise<readonly (number | null)[]>;
}

/** A reply that is written for the policy: its text, or what it says and calls. */
export type WrittenReply =
  | string
  | {
      readonly content?: string;
      readonly reasoning?: string;
      readonly calls?: readonly { readonly name: string; readonly input: unknown }[];
    };

/** Where somebody is to say what the policy should. */
export interface DemonstrationTurn<Task> {
  readonly task: Task;
  /** All that was said so far. */
  readonly messages: readonly Message[];
  readonly tools: readonly ToolDefinition[];
  /** Requests of this agent before this one. */
  readonly turn: number;
  readonly role: string;
}

/** What all environments say of themselves. */
export interface CommonDefinition<Task, Trace> {
  readonly name: string;
  readonly tasks: {
    /**
     * A list that is gone through again and again, a function of the number of the task, or a generator, which is run anew
     * where a run goes on.
     */
    readonly train: readonly Task[] | ((index: number) => Task) | (() => Generator<Task>);
    /** Held out. Default: none. */
    readonly eval?: readonly Task[];
  };
  /** Names a task. Default: its number. */
  readonly taskId?: (task: Task, index: number) => string;
  /** Most tokens of an answer. */
  readonly maxTokens?: number;
  /** Strings that end an answer. */
  readonly stopStrings?: readonly string[];
  /** One or more, by name. */
  readonly rewards: Readonly<Record<string, RewardDefinition<Task, Trace>>>;
  /** Outcomes that compare the plays of a task, by name. Default: none. */
  readonly groupRewards?: Readonly<Record<string, GroupReward<Task, Trace>>>;
  /** Whether a play was a success. Default: its weighted outcome is 1 or more. */
  readonly isSuccess?: (trace: Trace, outcome: number) => boolean;
  /** Milliseconds of wall time after which a play is called off. Default: the run's. */
  readonly episodeTimeoutMs?: number;
}

/** An environment of plain requests, as it is written. */
export interface EnvironmentDefinition<Task> extends CommonDefinition<Task, EpisodeTrace<Task>> {
  /** For one request an episode: what the policy is to continue. */
  readonly prompt?: (task: Task) => string;
  /** For anything else. What it returns is the trace's `result`; what it throws makes the episode an `agent_error`. */
  readonly play?: (episode: EpisodeContext<Task>) => Promise<unknown>;
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
  /** Of a mix, the names of those that it mixes: what ids of tasks and names of rewards begin with. */
  readonly domains?: readonly string[];
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
  /** The same for a chat, reply by reply. */
  readonly demonstrate:
    | ((turn: DemonstrationTurn<Task>) => WrittenReply | Promise<WrittenReply>)
    | undefined;
  /** Replies that must make a play of the task a success. */
  readonly validate: ((task: Task) => WrittenReply | readonly WrittenReply[]) | undefined;
  readonly groupRewards: Readonly<Record<string, Required<GroupReward<Task>>>>;
  /** Milliseconds of wall time after which a play is called off, in place of the run's. */
  readonly episodeTimeoutMs: number | undefined;
  readonly isPure: boolean;
  /** Ends what plays share: servers of tools. */
  readonly close: () => Promise<void>;
}
