/** What a pool looks like in a checkpoint: plain JSON, arrays of numbers as base64 of their little-endian bytes. */
import { ForgeError } from "../../engine/error.ts";
import {
  type Completion,
  completionOf,
  type RewardRecord,
  rewardOf,
  type SessionKey,
  type SessionStatus,
  STATUSES,
} from "./record.ts";

/** A completion in a checkpoint. */
type CompletionSnapshot = Omit<
  Completion,
  keyof SessionKey | "promptIds" | "responseIds" | "behaviorLogprobs"
> &
  Readonly<Record<"promptIds" | "responseIds" | "behaviorLogprobs", string>>;

/** A session in a checkpoint. */
export interface SessionSnapshot {
  readonly status: SessionStatus | null;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly completions: readonly CompletionSnapshot[];
  readonly rewards: readonly RewardRecord[];
}

/** A `DataPool` as plain JSON. */
export interface PoolSnapshot {
  readonly format: 1;
  /** The clock when it was written: what is left of a deadline is left after resuming. */
  readonly now: number;
  readonly nextGroup: number;
  readonly lateRewards: number;
  readonly groups: readonly {
    readonly groupId: number;
    readonly taskId: string;
    readonly awaits: readonly string[];
    readonly deadline: number | null;
    readonly sessions: readonly SessionSnapshot[];
  }[];
}

export function completionSnapshot(completion: Completion): CompletionSnapshot {
  const { sessionId, groupId, taskId, ...rest } = completion;
  return {
    ...rest,
    promptIds: encode(rest.promptIds),
    responseIds: encode(rest.responseIds),
    behaviorLogprobs: encode(rest.behaviorLogprobs),
  };
}

/** Errors    `checkpoint_invalid`. */
export function readSession(
  key: SessionKey,
  snapshot: SessionSnapshot,
): { readonly completions: Completion[]; readonly rewards: RewardRecord[] } {
  try {
    if (snapshot.status !== null && !STATUSES.includes(snapshot.status))
      throw new TypeError(`no such status: ${snapshot.status}`);
    return {
      completions: snapshot.completions.map((completion) =>
        completionOf(key, {
          ...completion,
          promptIds: new Uint32Array(decode(completion.promptIds)),
          responseIds: new Uint32Array(decode(completion.responseIds)),
          behaviorLogprobs: new Float32Array(decode(completion.behaviorLogprobs)),
        }),
      ),
      rewards: snapshot.rewards.map((reward) => rewardOf(key.sessionId, reward)),
    };
  } catch (cause) {
    return invalid(`session "${key.sessionId}" cannot be read`, cause);
  }
}

/** Errors    `checkpoint_invalid`: always. */
export function invalid(what: string, cause: unknown): never {
  throw new ForgeError({
    code: "checkpoint_invalid",
    what: `pool: ${what}.`,
    got: cause instanceof Error ? cause.message : String(cause),
    fix: "resume from another checkpoint",
    cause,
  });
}

function encode({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

function decode(text: string): ArrayBuffer {
  return new Uint8Array(Buffer.from(text, "base64")).buffer;
}
