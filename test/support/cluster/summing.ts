/** What summing nodes train: a state to which each step adds the sum of what the nodes give. And what must come of it. */
import { createHash } from "node:crypto";
import { ringSum } from "../../reference/ring-sum.ts";
import { seeded } from "./random.ts";

/** Elements of the state: several chunks of each segment, and no whole number of blocks. */
export const ELEMENTS = 5_003;

/** Told to a node on its standard input: it stays in the middle of its next step for ever. */
export const HALT = "halt";

/** Told to a node with a number behind it: its main thread is busy for so many milliseconds. */
export const BUSY = "busy ";

/** What a node is told before all else, as a line of JSON on its standard input. */
export interface SummingConfig {
  readonly id: string;
  readonly runId: string;
  readonly token: string;
  /** Any node of the cluster; none founds it. */
  readonly contact?: string;
  /** Where states are put for newcomers to read, by their hashes. */
  readonly folder: string;
  /** Where it listens. Default: loopback. */
  readonly host?: string;
  /** Where others are told to dial it, and its ring. Default: where it listens. */
  readonly advertise?: string;
  readonly advertiseRing?: string;
  /** Whether its two planes have threads of their own, as those of `forge-gpu node` do, or share one with all else. */
  readonly hasThreads: boolean;
  /** Milliseconds that the main thread may be busy, where they have. */
  readonly hostMs?: number;
}

/** What a node says, a line of JSON each. */
export type SummingEvent =
  | { readonly type: "listening"; readonly url: string; readonly ring: string }
  | { readonly type: "moving"; readonly step: number; readonly epoch: number }
  | { readonly type: "halfway"; readonly step: number }
  | {
      readonly type: "failed";
      readonly step: number;
      readonly code: string;
      readonly suspect: string | null;
    }
  | Committed;

export interface Committed {
  readonly type: "committed";
  readonly step: number;
  readonly hash: string;
  readonly members: readonly string[];
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What a node's shard of the data has to say to a step. */
export function contributionOf(node: string, step: number): Float32Array {
  const seed = createHash("sha256").update(`${node} ${step}`).digest().readUInt32LE(0);
  const random = seeded(seed);
  return Float32Array.from({ length: ELEMENTS }, () => 2 * random.next() - 1);
}

/** The state after a step. */
export function stepped(
  state: Float32Array<ArrayBuffer>,
  sum: Float32Array,
): Float32Array<ArrayBuffer> {
  return state.map((value, i) => value + (sum[i] as number));
}

export function hashOf(state: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(state.buffer, 0, state.byteLength))
    .digest("hex");
}

/** The hashes of the states that follow from who was there at each step, the first of which is step 1. */
export function expectedHashes(members: readonly (readonly string[])[]): string[] {
  let state = new Float32Array(ELEMENTS);
  return members.map((nodes, i) => {
    const given = nodes.map((node) => contributionOf(node, i + 1));
    state = stepped(state, Float32Array.from(ringSum(given, "f32").sum));
    return hashOf(state);
  });
}
