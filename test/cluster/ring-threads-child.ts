/**
 * Two nodes with rings in threads, in a process that can load the sources into threads. Sums a vector in as many threads as it
 * is told, lives through an abort, and says what it has found: whether all sums were those of the oracle, and which errors came.
 */

import { allocateMemory } from "../../cluster/ring/wasm.ts";
import { BLOCK } from "../../cluster/ring/wire-type.ts";
import { RingThreads } from "../../cluster/ring-plane/ring-threads.ts";
import { Token } from "../../cluster/transport/token.ts";
import { ringSum } from "../reference/ring-sum.ts";
import { contributionsOf, isSame } from "../support/collectives.ts";
import { moveAll } from "../support/move-all.ts";

const TOTAL = 60 * BLOCK + 77;
const MEMBERS = ["n0", "n1"];
const threads = Number(process.argv[2]);
const runId = "0f".repeat(16);
const token = Token.create();

const nodes = await Promise.all(
  MEMBERS.map(async (nodeId, rank) => {
    const rings = await RingThreads.open({ threads, runId, token, nodeId });
    const memory = allocateMemory(8 * TOTAL, true);
    const buckets = Array.from({ length: 10 }, (_, i) => ({
      ...{ from: 6 * BLOCK * i, to: i === 9 ? TOTAL : 6 * BLOCK * (i + 1) },
    }));
    const space = {
      shape: {
        ...{ rank, world: 2, total: TOTAL, buckets, wire: "f32" as const, chunkBytes: 2 ** 11 },
      },
      phases: "both" as const,
      memory,
      places: { contribution: 0, result: 4 * TOTAL },
    };
    const contribution = new Float32Array(memory.buffer, 0, TOTAL);
    const result = new Float32Array(memory.buffer, 4 * TOTAL, TOTAL);
    return { rings, space, contribution, result };
  }),
);

async function begin(epoch: number): Promise<void> {
  const addressesOf = (node: string): readonly string[] | undefined =>
    nodes[MEMBERS.indexOf(node)]?.rings.urls;
  await Promise.all(
    nodes.map(({ rings }) => rings.begin({ epoch, members: MEMBERS, addressesOf })),
  );
}

/** Whether all have what the oracle says. */
async function sum(seed: number, op: number): Promise<boolean> {
  const given = contributionsOf(2, TOTAL, seed);
  for (const [rank, node] of nodes.entries()) node.contribution.set(given[rank] as Float32Array);
  await Promise.all(nodes.map(({ rings, space }) => moveAll(rings, space, { op, attempt: 0 })));
  const expected = ringSum(given, "f32").sum;
  return nodes.every(({ result }) => isSame(result, expected));
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => error.code ?? String(error),
  );

await begin(1);
const sums = [await sum(1, 0), await sum(2, 1)];
const [one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
// in a bucket of the last thread: it is over in all of them
one.contribution[TOTAL - 1] = Number.NaN;
const nan = moveAll(one.rings, one.space, { op: 2, attempt: 0 });
const waiting = two.rings.start(two.space, { op: 2, attempt: 0 }).done;
const errors = [await codeOf(nan), await codeOf(waiting)];
await begin(2);
sums.push(await sum(3, 0));
const giveUp = new AbortController();
const stopped = moveAll(one.rings, one.space, { op: 1, attempt: 0 }, giveUp.signal);
giveUp.abort();
errors.push(await codeOf(stopped));
const { memory: _, ...rest } = one.space;
const unshared = { ...rest, memory: allocateMemory(8 * TOTAL, false) };
errors.push(await codeOf((async () => moveAll(one.rings, unshared, { op: 0, attempt: 0 }))()));
errors.push(
  await codeOf(RingThreads.open({ threads, runId, token, nodeId: "n2", host: "192.0.2.1" })),
);
const doors = new Set(nodes.flatMap(({ rings }) => rings.urls)).size;
await Promise.all(nodes.map(({ rings }) => rings[Symbol.asyncDispose]()));
// nothing keeps it alive now
process.stdout.write(JSON.stringify({ sums, errors, doors }));
