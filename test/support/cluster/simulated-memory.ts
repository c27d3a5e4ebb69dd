/** The vectors of simulated nodes: one memory for all, and a slot of it for each. */
import { createHash } from "node:crypto";
import { RingPlan } from "../../../cluster/ring/plan.ts";
import { allocateMemory } from "../../../cluster/ring/wasm.ts";
import { BLOCK } from "../../../cluster/ring/wire-type.ts";
import { Workspace } from "../../../cluster/ring/workspace.ts";
import { seeded } from "./random.ts";

/** Elements of a state: two segments, one of them short; where there are more nodes, some segments are empty. */
export const ELEMENTS = BLOCK + 188;
const BYTES = 4 * ELEMENTS;
/** Nodes of a simulation at most. */
const SLOTS = 64;

const memory = allocateMemory(2 * BYTES * SLOTS, true);
const workspaces = new Map<string, Workspace>();

export function contributionAt(slot: number): Float32Array {
  return new Float32Array(memory.buffer, 2 * BYTES * slot, ELEMENTS);
}

export function resultAt(slot: number): Float32Array {
  return new Float32Array(memory.buffer, 2 * BYTES * slot + BYTES, ELEMENTS);
}

/** The workspace of a slot as that rank, used by one collective after the other. */
export function workspaceOf(slot: number, rank: number, world: number): Workspace {
  const key = `${slot} ${rank} ${world}`;
  const known = workspaces.get(key);
  if (known) return known;
  const plan = new RingPlan({
    ...{ rank, world, total: ELEMENTS, wire: "f32", chunkBytes: 4 * BLOCK },
    buckets: [
      { from: BLOCK, to: ELEMENTS },
      { from: 0, to: BLOCK },
    ],
  });
  const at = 2 * BYTES * slot;
  const space = new Workspace(plan, "both", memory, { contribution: at, result: at + BYTES });
  workspaces.set(key, space);
  return space;
}

const NUMBERS = Float32Array.from({ length: 2 ** 16 }, numbersOf(1));

function numbersOf(seed: number): () => number {
  const random = seeded(seed);
  return () => random.next() - 0.5;
}

/** What a node has to say to a step: a stretch of numbers that hardly any other has. */
export function contributionTo(step: number, slot: number): Float32Array {
  const from = Math.imul(step * SLOTS + slot, 40_503) & 0xffff;
  const at = from % (NUMBERS.length - ELEMENTS);
  return NUMBERS.subarray(at, at + ELEMENTS);
}

/**
 * A state and the contributions of the ranks to the next step, summed as the ring has to: element e of segment s over ranks
 * s, s + 1, … mod N, in f32.
 */
export function stateAfter(state: Float32Array, given: readonly Float32Array[]): Float32Array {
  const world = given.length;
  const sum = new Float32Array(ELEMENTS);
  const blocks = world === 1 ? 2 : 1;
  for (let segment = 0; segment < world; segment++) {
    const to = Math.min(ELEMENTS, (segment + 1) * blocks * BLOCK);
    for (let turn = 0; turn < world; turn++) {
      const own = given[(segment + turn) % world] as Float32Array;
      // an element of a typed array is rounded when it is set
      for (let i = segment * blocks * BLOCK; i < to; i++)
        sum[i] = (sum[i] as number) + (own[i] as number);
    }
  }
  return plus(state, sum);
}

/** The sum of two vectors. */
export function plus(a: Float32Array, b: Float32Array): Float32Array {
  const sum = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) sum[i] = (a[i] as number) + (b[i] as number);
  return sum;
}

export function hashOf(state: Float32Array): string {
  return digestOf(new Uint8Array(state.buffer, state.byteOffset, state.byteLength));
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex").slice(0, 12);
}
