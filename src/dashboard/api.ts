/** What the dashboard's server tells its page, as JSON. Types alone: both sides import them, and neither the other. */

/** `live`: a process writes it. `failed`: it ended without a summary, so it was killed or stopped by an error. */
export type RunState = "live" | "done" | "interrupted" | "failed";

/** A run in a list. */
export interface RunHead {
  /** `<name>/<time>`: the last two folders of its directory. */
  readonly id: string;
  readonly name: string;
  readonly startedAt: string;
  readonly state: RunState;
  readonly method: string;
  readonly environment: string;
  /** Steps that are done, and those that the configuration asks for. */
  readonly steps: number;
  readonly plannedSteps: number | null;
  /** Seconds from the first metrics to the last. */
  readonly seconds: number;
  readonly curve: Sparkline | null;
  /** The first and the newest evaluation on held-out tasks. */
  readonly evaluation: Evaluated | null;
  readonly version: RunVersion;
}

/** The figure that a run is about, in few points. */
export interface Sparkline {
  readonly metric: string;
  readonly values: readonly number[];
}

/** A figure before training and now. `after` is `null` until there is a second evaluation. */
export interface Evaluated {
  readonly metric: string;
  readonly before: number;
  readonly after: number | null;
}

/** What has been read of a run's logs: different numbers mean news. */
export interface RunVersion {
  /** Counts the times that the logs were read anew from their beginning, as after a resumption. */
  readonly generation: number;
  /** Rows of metrics. */
  readonly rows: number;
  /** Bytes of rollouts.jsonl. */
  readonly rolloutBytes: number;
}

/** The event `runs` of the event stream: runs that have changed. */
export interface RunNews {
  readonly id: string;
  readonly state: RunState;
  readonly version: RunVersion;
}

/** `GET /api/runs`. */
export interface RunList {
  /** Newest first. */
  readonly runs: readonly RunHead[];
  /** Where runs are looked for. */
  readonly places: readonly string[];
}

/** `GET /api/runs/<id>`. */
export interface RunDetails {
  readonly head: RunHead;
  /** `run.json`. */
  readonly record: Readonly<Record<string, unknown>>;
  readonly directory: string;
}

/** What a metric means. */
export interface MetricWords {
  readonly meaning: string;
  readonly unit: string;
  readonly format: "number" | "share" | "scientific";
}

/** A warning of a step. */
export interface StepWarning {
  readonly step: number;
  readonly code: string;
  readonly text: string;
}

/** `GET /api/runs/<id>/metrics?from=<row>&generation=<n>`: rows of another generation are sent from the first on. */
export interface MetricRows {
  readonly generation: number;
  /** Number of the first row that is here. */
  readonly from: number;
  readonly steps: readonly number[];
  /** Seconds since 1970. */
  readonly wallTimes: readonly number[];
  /** By metric; `null` where a row does not have it, or where it is not finite. */
  readonly columns: Readonly<Record<string, readonly (number | null)[]>>;
  /** By metric: those of the catalogue. */
  readonly words: Readonly<Record<string, MetricWords>>;
  /** All of them. */
  readonly warnings: readonly StepWarning[];
  /** Lines that are no metrics. */
  readonly unreadable: number;
}

/** A rollout in a list. */
export interface RolloutRow {
  /** Of the line among the readable ones of rollouts.jsonl, from 0. */
  readonly number: number;
  readonly step: number;
  readonly group: number;
  readonly task: string;
  readonly status: string;
  readonly isSuccess: boolean;
  /** `null` where it took no part. */
  readonly reward: number | null;
  /** Sampled, over all turns. */
  readonly tokens: number;
  readonly turns: number;
  readonly toolCalls: number;
  /** Tool calls that did not succeed. */
  readonly toolErrors: number;
  /** The greatest |advantage| · −log-prob of a token; `null` where nothing was trained on. */
  readonly surprise: number | null;
  /** How the last answer begins. */
  readonly excerpt: string;
}

/** Columns that rollouts are sorted by. Rollouts without the figure come last in both orders. */
export type RolloutSort =
  | "number"
  | "step"
  | "task"
  | "reward"
  | "tokens"
  | "turns"
  | "toolCalls"
  | "surprise";

/** `GET /api/runs/<id>/rollouts?sort&order&offset&limit&success&status&step&text`. */
export interface RolloutList {
  /** How many the filters let through. */
  readonly matches: number;
  readonly rows: readonly RolloutRow[];
  readonly totals: RolloutTotals;
}

/** What there is, whatever the filters say. */
export interface RolloutTotals {
  readonly rollouts: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly firstStep: number | null;
  readonly lastStep: number | null;
  readonly unreadable: number;
  /** Bytes of the log that are indexed, and all of them. */
  readonly read: number;
  readonly size: number;
}

/** `GET /api/runs/<id>/rollouts/<number>`. */
export interface RolloutDetails {
  readonly row: RolloutRow;
  readonly record: RolloutRecord;
  /** The rollouts of its group, itself among them. */
  readonly group: readonly RolloutRow[];
  readonly totals: RolloutTotals;
}

/** A line of rollouts.jsonl, as far as the page knows it. It is a file: whatever reads it expects fields to be missing. */
export interface RolloutRecord {
  readonly step?: number;
  readonly task?: string;
  readonly status?: string;
  readonly takesPart?: boolean;
  readonly isSuccess?: boolean;
  readonly reward?: number | null;
  readonly components?: Readonly<Record<string, number | null>>;
  readonly turns?: readonly RolloutTurn[];
  readonly toolCalls?: readonly RolloutToolCall[];
}

/** A request and its answer. Lists are of its sampled tokens. */
export interface RolloutTurn {
  readonly request?: number;
  readonly role?: string;
  readonly parent?: number | null;
  readonly policyVersions?: readonly number[];
  readonly finishReason?: string;
  readonly reward?: number | null;
  readonly prompt?: string;
  readonly response?: string;
  readonly promptIds?: readonly number[];
  readonly responseIds?: readonly number[];
  /** The text that each token completes. */
  readonly responseTokens?: readonly string[];
  readonly rolloutLogprobs?: readonly number[];
  /** Of what was trained on. */
  readonly trainerLogprobs?: readonly number[];
  readonly entropies?: readonly number[];
  readonly advantages?: readonly number[];
}

/** A call of a tool. */
export interface RolloutToolCall {
  readonly requestIndex?: number;
  readonly role?: string;
  readonly name?: string;
  readonly input?: unknown;
  readonly status?: string;
  readonly content?: string;
  readonly isCut?: boolean;
  readonly ms?: number;
}

/** The body of an answer that is an error. */
export interface ApiError {
  readonly error: string;
}
