/** What the pool keeps: requests to the policy, the sessions that made them, and their rewards. */
import { ForgeError } from "../../engine/error.ts";

/** How a session ended. The last two take no gradient and no part in a baseline. */
export type SessionStatus = (typeof STATUSES)[number];

export const STATUSES = [
  "completed",
  "truncated",
  "agent_error",
  "infra_error",
  "cancelled",
] as const;

/** A request to the policy and its answer, as the agent's side reports it. */
export interface CompletionInput {
  /** Number of the request in its session, each once. */
  readonly requestIndex: number;
  /** The request whose answer this one continues; default null. Credit follows these links, since requests overlap. */
  readonly parent?: number | null;
  /** Which of the agents of a session asked. Default "main". */
  readonly role?: string;
  /** Ids the policy was fed: one or more. */
  readonly promptIds: ArrayLike<number>;
  /** Ids it sampled, the stop token included. */
  readonly responseIds: ArrayLike<number>;
  /** Of each sampled id, when it was sampled. */
  readonly behaviorLogprobs: ArrayLike<number>;
  /** Versions of the policy that sampled the first and the last id. */
  readonly policyVersions: readonly [first: number, last: number];
  readonly sampling: SamplingRecord;
  /** Why the answer ended. */
  readonly finishReason: string;
  /** On the pool's clock. */
  readonly submittedAt: number;
  readonly finishedAt: number;
}

/** How the ids were chosen; see `SamplingOptions`. */
export interface SamplingRecord {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/** A request in the pool: one sample of training. Its arrays are the pool's own. */
export interface Completion extends Required<CompletionInput> {
  readonly sessionId: string;
  readonly groupId: number;
  readonly taskId: string;
  readonly promptIds: Uint32Array;
  readonly responseIds: Uint32Array;
  readonly behaviorLogprobs: Float32Array;
}

/** A reward, of a request or (null) of the session. */
export interface RewardRecord {
  readonly requestIndex: number | null;
  readonly kind: "process" | "outcome" | "speed";
  /** The component it belongs to. Default: its kind. */
  readonly name: string;
  readonly value: number;
}

/** A session of a finished group. */
export interface SessionRecord {
  readonly sessionId: string;
  readonly groupId: number;
  readonly taskId: string;
  readonly status: SessionStatus;
  /** In the order in which they were acknowledged. */
  readonly completions: readonly Completion[];
  readonly rewards: readonly RewardRecord[];
  /** Whether it counts: for gradients and in baselines. */
  readonly takesPart: boolean;
  /** What was told of it at its end, plain JSON; `null` for nothing. The pool does not look at it. */
  readonly details: unknown;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** A finished group: the sessions of one task. */
export interface GroupRecord {
  readonly groupId: number;
  readonly taskId: string;
  readonly sessions: readonly SessionRecord[];
  /** Whether some session that takes part has a sampled token. */
  readonly isTrainable: boolean;
}

/** Where a completion belongs. */
export type SessionKey = Pick<SessionRecord, "sessionId" | "groupId" | "taskId">;

/**
 * Checks a completion and copies its arrays; log-probabilities are rounded to f32.
 *
 * Errors    `argument_invalid`; `non_finite` for a log-probability.
 */
export function completionOf(key: SessionKey, input: CompletionInput): Completion {
  const { parent = null, role = "main" } = input;
  const what = `completion of session "${key.sessionId}"`;
  checkIndex(what, "requestIndex", input.requestIndex);
  if (parent !== null) checkIndex(what, "parent", parent);
  if (typeof role !== "string" || role === "") refuse(what, "role", role, "it is a name");
  if (input.promptIds.length === 0) refuse(what, "promptIds", "none", "a prompt has some token");
  const promptIds = idsOf(what, "promptIds", input.promptIds);
  const responseIds = idsOf(what, "responseIds", input.responseIds);
  const { length } = input.behaviorLogprobs;
  if (length !== responseIds.length) {
    const got = `${length} for ${responseIds.length} ids`;
    refuse(what, "behaviorLogprobs", got, "each sampled id has one");
  }
  const behaviorLogprobs = Float32Array.from(input.behaviorLogprobs);
  const bad = behaviorLogprobs.findIndex((logprob) => !Number.isFinite(logprob));
  if (bad >= 0) {
    throw new ForgeError({
      code: "non_finite",
      what: `${what}: "behaviorLogprobs" has a value that is not finite.`,
      got: `${input.behaviorLogprobs[bad]} at ${bad}`,
      why: "a sampled token has a probability above 0",
      fix: "look for NaN in the logits of the policy that sampled it",
    });
  }
  const [first, last] = input.policyVersions;
  checkIndex(what, "policyVersions", first);
  checkIndex(what, "policyVersions", last);
  if (last < first) refuse(what, "policyVersions", `${first}, ${last}`, "versions only rise");
  for (const field of ["temperature", "topK", "topP", "minP"] as const)
    checkFinite(what, `sampling.${field}`, input.sampling[field]);
  if (typeof input.finishReason !== "string")
    refuse(what, "finishReason", input.finishReason, "it is a word");
  for (const field of ["submittedAt", "finishedAt"] as const)
    checkFinite(what, field, input[field]);
  if (input.finishedAt < input.submittedAt)
    refuse(what, "finishedAt", input.finishedAt, `it was submitted at ${input.submittedAt}`);
  return {
    sessionId: key.sessionId,
    groupId: key.groupId,
    taskId: key.taskId,
    requestIndex: input.requestIndex,
    parent,
    role,
    promptIds,
    responseIds,
    behaviorLogprobs,
    policyVersions: [first, last],
    sampling: { ...input.sampling },
    finishReason: input.finishReason,
    submittedAt: input.submittedAt,
    finishedAt: input.finishedAt,
  };
}

/** A reward as it is posted. */
export type RewardInput = Omit<RewardRecord, "name" | "requestIndex"> &
  Partial<Pick<RewardRecord, "name" | "requestIndex">>;

/** Checks a reward. Errors: `argument_invalid`; `non_finite` for its value. */
export function rewardOf(sessionId: string, input: RewardInput): RewardRecord {
  const { requestIndex = null, kind, name = kind, value } = input;
  const what = `reward of session "${sessionId}"`;
  if (requestIndex !== null) checkIndex(what, "requestIndex", requestIndex);
  if (!["process", "outcome", "speed"].includes(kind))
    refuse(what, "kind", kind, "it is process, outcome or speed");
  if (typeof name !== "string" || name === "") refuse(what, "name", name, "it names a component");
  checkFinite(what, "value", value);
  // JSON has no −0, and a checkpoint has to give back the same bits
  return { requestIndex, kind, name, value: value + 0 };
}

/** A copy of what is told of a session at its end. Errors: `argument_invalid` for what is no plain JSON. */
export function detailsOf(sessionId: string, details: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(details)) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return refuse(`end of session "${sessionId}"`, "details", reason, "it is plain JSON");
  }
}

/** Errors    `argument_invalid` for what is no status. */
export function checkStatus(status: SessionStatus): void {
  if (!STATUSES.includes(status)) refuse("session", "status", status, STATUSES.join(", "));
}

/** Tokens that a completion occupies. */
export function tokensOf(completion: Completion): number {
  return completion.promptIds.length + completion.responseIds.length;
}

/** Errors    `argument_invalid` naming the field. */
export function refuse(what: string, field: string, got: unknown, why: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: `${what}: "${field}" cannot be used.`,
    got: String(got),
    why,
    fix: "correct it",
  });
}

function checkIndex(what: string, field: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0)
    refuse(what, field, value, "it is an integer, 0 or more");
}

/** Errors    `non_finite` naming the field. */
export function checkFinite(what: string, field: string, value: number): void {
  if (Number.isFinite(value)) return;
  throw new ForgeError({
    code: "non_finite",
    what: `${what}: "${field}" is not a finite number.`,
    got: String(value),
    fix: "correct it; a reward that does not apply is not posted",
  });
}

function idsOf(what: string, field: string, values: ArrayLike<number>): Uint32Array {
  for (let i = 0; i < values.length; i++) {
    const id = values[i] as number;
    if (!Number.isInteger(id) || id < 0 || id >= 2 ** 32)
      refuse(what, field, `${id} at ${i}`, "ids are integers from 0 to 2^32 − 1");
  }
  return Uint32Array.from(values);
}
