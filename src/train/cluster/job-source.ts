/** What a player and the board that it plays for say to each other, over whatever transport. */
import { z } from "zod";
import { ForgeError } from "../../../engine/error.ts";
import type { Job, Verdict } from "../episode/dispatcher.ts";
import type { EncodedGroup } from "./played-group.ts";

/** What a player asks with. */
export interface TakeRequest {
  /** Groups it could begin now. */
  readonly room: number;
  /** What it has, and has not given yet: an answer that was lost on its way shows. */
  readonly holds: readonly Pick<Job, "groupId" | "attempt">[];
}

/** What it is told. */
export interface Taken {
  /** To be played, beside what it has. */
  readonly jobs: readonly Job[];
  /** Groups among those it has that nobody wants of it any more. */
  readonly cancelled: readonly number[];
}

/** Where a player gets its groups. */
export interface JobSource {
  /**
   * Waits for something to do, or nothing after a while. One call at a time: a player whose room has changed aborts it and asks
   * again.
   *
   * Errors    a `ForgeError` where the question is refused; the signal's reason; anything else is a connection that failed,
   *           and is tried again.
   */
  take(request: TakeRequest, signal: AbortSignal): Promise<Taken>;
  /**
   * Hands a group in.
   *
   * Errors    a `ForgeError` where the group is refused; the signal's reason; anything else is a connection that failed, and is
   *           tried again.
   */
  give(group: EncodedGroup, signal: AbortSignal): Promise<Verdict>;
}

/** Most groups that a player has, or asks for. */
const MOST_GROUPS = 65_536;

const index = z.int().min(0);

const takeRequest = z.strictObject({
  room: index.max(MOST_GROUPS),
  holds: z.array(z.strictObject({ groupId: index, attempt: index })).max(MOST_GROUPS),
});

const taken = z.strictObject({
  jobs: z
    .array(z.strictObject({ groupId: index, attempt: index, version: index }))
    .max(MOST_GROUPS),
  cancelled: z.array(index).max(MOST_GROUPS),
});

/** Reads a request from JSON. Errors: `argument_invalid`. */
export function readTakeRequest(value: unknown): TakeRequest {
  return read(takeRequest, "request for jobs", value);
}

/** Reads an answer from JSON. Errors: `argument_invalid`. */
export function readTaken(value: unknown): Taken {
  return read(taken, "answer with jobs", value);
}

function read<T>(schema: z.ZodType<T>, what: string, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${what}: it cannot be read.`,
    got: z.prettifyError(result.error),
    fix: "use the same version of forge-gpu on all nodes",
  });
}
