/** Finished groups on their way from who played them to who trains on them: plain JSON, and what is read of it. */
import { z } from "zod";
import { ForgeError } from "../../../engine/error.ts";
import { fromBase64, toBase64 } from "../../pool/base64.ts";
import type { PlayedSession } from "../../pool/played-session.ts";
import {
  type Completion,
  type GroupRecord,
  type SessionKey,
  type SessionRecord,
  STATUSES,
} from "../../pool/record.ts";

/** A group as it was played. */
export interface PlayedGroup {
  readonly groupId: number;
  /** That of the `Job`. */
  readonly attempt: number;
  readonly taskId: string;
  readonly sessions: readonly PlayedSession[];
  /** What an agent that failed meanwhile threw, in a line; `null` if none did. */
  readonly agentError: string | null;
}

type Arrays = "promptIds" | "responseIds" | "behaviorLogprobs";

/** The same as plain JSON: ids are base64 of u32, log-probabilities of f32, little-endian. */
export interface EncodedGroup extends Omit<PlayedGroup, "sessions"> {
  readonly sessions: readonly (Omit<PlayedSession, "completions"> & {
    readonly completions: readonly (Omit<Completion, keyof SessionKey | Arrays> &
      Readonly<Record<Arrays, string>>)[];
  })[];
}

/** Most sessions of a group, and requests and rewards of a session. */
const [MOST_SESSIONS, MOST_REQUESTS, MOST_REWARDS] = [4096, 16_384, 131_072];
/** Most ids of a prompt or an answer. */
const MOST_IDS = 2 ** 22;
/** Most characters of a name, and of what an agent threw. */
const [MOST_NAME, MOST_ERROR] = [4096, 4096];
/** Bytes of an id, and of a log-probability. */
const WORD = 4;

/** A finished group, to be sent. Errors of agents are cut to their first 4,096 characters. */
export function encodePlayedGroup(
  { groupId, taskId, sessions }: GroupRecord,
  attempt: number,
  agentError: string | null,
): EncodedGroup {
  return {
    ...{ groupId, attempt, taskId },
    sessions: sessions.map(encodedSession),
    agentError: agentError?.slice(0, MOST_ERROR) ?? null,
  };
}

function encodedSession(session: SessionRecord): EncodedGroup["sessions"][number] {
  const { status, completions, rewards, details, startedAt, endedAt } = session;
  return {
    ...{ status, rewards, details, startedAt, endedAt },
    completions: completions.map(({ sessionId: _, groupId: __, taskId: ___, ...completion }) => ({
      ...completion,
      promptIds: toBase64(completion.promptIds),
      responseIds: toBase64(completion.responseIds),
      behaviorLogprobs: toBase64(completion.behaviorLogprobs),
    })),
  };
}

const index = z.int().min(0);
const name = z.string().min(1).max(MOST_NAME);

/** Words of four bytes, from base64. */
function words<T>(make: (bytes: ArrayBuffer) => T): z.ZodType<T> {
  return z
    .string()
    .max(4 * Math.ceil((MOST_IDS * WORD) / 3))
    .transform((text, { addIssue }) => {
      try {
        return make(fromBase64(text));
      } catch {
        addIssue({ code: "custom", message: "expected base64 of words of four bytes" });
        return z.NEVER;
      }
    });
}

const completion = z.strictObject({
  requestIndex: index,
  parent: index.nullable(),
  role: name,
  promptIds: words((bytes) => new Uint32Array(bytes)),
  responseIds: words((bytes) => new Uint32Array(bytes)),
  behaviorLogprobs: words((bytes) => new Float32Array(bytes)).refine(
    (logprobs) => logprobs.every(Number.isFinite),
    { error: "expected finite numbers" },
  ),
  policyVersions: z.tuple([index, index]),
  sampling: z.strictObject({
    temperature: z.number(),
    topK: z.number(),
    topP: z.number(),
    minP: z.number(),
  }),
  finishReason: name,
  submittedAt: z.number(),
  finishedAt: z.number(),
});

const reward = z.strictObject({
  requestIndex: index.nullable(),
  kind: z.enum(["process", "outcome", "speed"]),
  name,
  value: z.number(),
});

const session = z.strictObject({
  status: z.enum(STATUSES),
  completions: z.array(completion).max(MOST_REQUESTS),
  rewards: z.array(reward).max(MOST_REWARDS),
  details: z.unknown(),
  startedAt: z.number(),
  endedAt: z.number(),
});

const group = z.strictObject({
  groupId: index,
  attempt: index,
  taskId: z.string().max(MOST_NAME),
  sessions: z.array(session).min(1).max(MOST_SESSIONS),
  agentError: z.string().max(MOST_ERROR).nullable(),
});

/**
 * Reads what {@link encodePlayedGroup} wrote. Each field is checked by itself; whether they fit together is for the pool to
 * say, which takes all of a group or nothing.
 *
 * Errors    `argument_invalid`, naming the fields that are wrong.
 */
export function decodePlayedGroup(value: unknown): PlayedGroup {
  const read = group.safeParse(value);
  if (read.success) return read.data;
  throw new ForgeError({
    code: "argument_invalid",
    what: "played group: it cannot be read.",
    got: z.prettifyError(read.error),
    fix: "send what encodePlayedGroup of the same version gave",
    cause: read.error,
  });
}
