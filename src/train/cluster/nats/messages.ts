/** What leader and players send each other through NATS. */
import { promisify } from "node:util";
import { deflate, inflate } from "node:zlib";
import { z } from "zod";
import { ForgeError } from "../../../../engine/error.ts";
import type { Job } from "../../episode/dispatcher.ts";
import { decodePlayedGroup, type EncodedGroup, type PlayedGroup } from "../played-group.ts";

/** A job and whose it is: attempts of two leaders have the same numbers. */
export interface LedJob extends Job {
  readonly leader: string;
}

/** What a player says of itself. */
export interface Hello {
  readonly player: string;
  /** Groups that it plays at once; 0 when it goes. */
  readonly capacity: number;
}

/** A result and whose job it was. */
export interface LedGroup {
  readonly leader: string;
  readonly group: PlayedGroup;
}

/** Bytes that a result may unfold to: one that was made to be larger is refused before it is. */
const MOST_BYTES = 2 ** 28;
/** Fast: ids are mostly zeros, and log-probabilities are mostly noise. */
const LEVEL = 1;

const index = z.int().min(0);
const leader = z.uuid();
const job = z.strictObject({ leader, groupId: index, attempt: index, version: index });
const hello = z.strictObject({ player: z.string().min(1).max(200), capacity: index.max(65_536) });
const cancelled = z.strictObject({ groupId: index });
const led = z.strictObject({ leader, group: z.unknown() });

/** Reads a job. Errors: `argument_invalid`. */
export function readJob(data: Uint8Array): LedJob {
  return read(job, "a job", () => json(data));
}

/** Reads what a player says. Errors: `argument_invalid`. */
export function readHello(data: Uint8Array): Hello {
  return read(hello, "a player's word", () => json(data));
}

/** Reads which group is called off. Errors: `argument_invalid`. */
export function readCancelled(data: Uint8Array): number {
  return read(cancelled, "a group called off", () => json(data)).groupId;
}

/** A result as it travels: deflated JSON. */
export async function packResult(of: string, group: EncodedGroup): Promise<Uint8Array> {
  return promisify(deflate)(JSON.stringify({ leader: of, group }), { level: LEVEL });
}

/** Reads a result. Errors: `argument_invalid`. */
export async function unpackResult(data: Uint8Array): Promise<LedGroup> {
  let text: Buffer;
  try {
    text = await promisify(inflate)(data, { maxOutputLength: MOST_BYTES });
  } catch (error) {
    throw unreadable("a result", String(error));
  }
  const result = read(led, "a result", () => json(text));
  return { leader: result.leader, group: decodePlayedGroup(result.group) };
}

function json(data: Uint8Array): unknown {
  return JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString("utf8"));
}

function read<T>(schema: z.ZodType<T>, what: string, value: () => unknown): T {
  let parsed: unknown;
  try {
    parsed = value();
  } catch (error) {
    throw unreadable(what, String(error));
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  throw unreadable(what, z.prettifyError(result.error));
}

function unreadable(what: string, got: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `${what} that came through NATS cannot be read.`,
    got,
    fix: "use the same version of forge-gpu on all nodes, and keep others from the run's subjects",
  });
}
