/**
 * Nodes, whole, with their rings in as many threads as this process is told, in a process that can load the sources into threads.
 * Says which sums were not those of the oracle, and how those nodes ended that had to.
 */
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import threading, { type Worker } from "node:worker_threads";
import type { Cluster, ClusterSettings } from "../../cluster/index.ts";
import { segmentsOf } from "../../cluster/ring/segments.ts";
import { contributionsOf, isSame } from "../support/collectives.ts";

/** All threads there are, in the order in which they were started. */
const workers: Worker[] = [];
const { Worker: Plain } = threading;
threading.Worker = class extends Plain {
  constructor(...args: ConstructorParameters<typeof Plain>) {
    super(...args);
    workers.push(this);
  }
};
syncBuiltinESMExports();
const {
  Cluster: OpenCluster,
  ClusterError,
  RingVector,
  Token,
} = await import("../../cluster/index.ts");

/** Several buckets, the last of which is short. */
const LENGTH = 3 * 2 ** 17 + 77;
const threads = Number(process.argv[2]);
const token = Token.create();
const runId = "0f".repeat(16);

/** What a node gives to a step. */
function given(node: string, step: number): Float32Array {
  const seed = 31 * step + node.charCodeAt(0);
  return contributionsOf(1, LENGTH, seed)[0] as Float32Array;
}

/** Of segment s from rank s on; `ringSum` is the oracle of shorter vectors. */
function inOrder(all: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(LENGTH);
  for (const [segment, { from, to }] of segmentsOf(LENGTH, all.length).entries())
    for (let turn = 0; turn < all.length; turn++) {
      const own = all[(segment + turn) % all.length] as Float32Array;
      for (let i = from; i < to; i++) sum[i] = (own[i] as number) + (sum[i] as number);
    }
  return sum;
}

/** Sums a vector in each step. */
class Node {
  readonly cluster: Cluster;
  /** Of each step the number of members; 0 where the sum was wrong. */
  readonly steps: number[] = [];
  /** With what it had to end. */
  error: unknown;
  readonly done: Promise<void>;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.done = this.#obey().catch((error: unknown) => {
      this.error = error;
    });
  }

  static async open(nodeId: string, contact?: Node, more: Partial<ClusterSettings> = {}) {
    const cluster = await OpenCluster.open({
      ...{ nodeId, runId, token, ringThreads: threads, progressMs: 20_000, connectMs: 20_000 },
      membership: { beat: 50, lostAfter: 600_000 },
      limits: { heartbeatMs: 1_000, heartbeatMisses: 60 },
      controlThread: threads > 0,
      ...more,
    });
    const node = new Node(cluster);
    if (contact) await cluster.join(contact.cluster.address);
    else {
      await cluster.found(0, "0");
      cluster.ready(0, "0", "sum");
    }
    return node;
  }

  async close(): Promise<void> {
    this.cluster.orders.end();
    await this.done;
    await this.cluster[Symbol.asyncDispose]();
  }

  async #obey(): Promise<void> {
    const { cluster } = this;
    const { orders } = cluster;
    const vector = new RingVector(LENGTH, "f32");
    for (;;) {
      const order = orders.take();
      if (order?.type === "end") return;
      if (order?.type === "fetch") cluster.ready(order.fetch.step, order.fetch.hash, "sum");
      if (order?.type === "move") {
        const { move, signal, isCommitted } = order;
        const { step, members } = move;
        try {
          // one that is alone would never let the event loop turn
          await sleep(1);
          const ring = await cluster.collectives(move);
          vector.contribution.set(given(cluster.nodeId, step));
          await ring.allReduce(vector, signal);
          const [count = 0] = await ring.sum([1], signal);
          cluster.moved(move, `${step}`);
          if (!(await isCommitted)) continue;
          const sum = inOrder(members.map((node) => given(node, step)));
          this.steps.push(isSame(vector.result, sum) ? count : 0);
          cluster.ready(step, `${step}`, "sum");
        } catch (error) {
          if (error instanceof ClusterError && error.isFinal) throw error;
          cluster.failed(move, error);
        }
      }
      const { news } = orders;
      if (!news.aborted)
        await new Promise((resolve) => news.addEventListener("abort", resolve, { once: true }));
    }
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(5);
}

/** Waits for two more steps of so many at each of these nodes. */
async function together(...nodes: Node[]): Promise<void> {
  const from = nodes.map(({ steps }) => steps.length);
  await until(() =>
    nodes.every(
      ({ steps }, i) => steps.slice(from[i]).filter((count) => count === nodes.length).length >= 2,
    ),
  );
}

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? String(error);

const a = await Node.open("a");
const b = await Node.open("b", a);
const c = await Node.open("c", b);
await together(a, b, c);
const doors = new Set([a, b, c].map(({ cluster }) => cluster.address)).size;
// one goes, and those who are left have an epoch of their own
await c.close();
await together(a, b);
// one with other threads has to end, and holds up nobody
const odd = await Node.open("d", a, { ringThreads: threads === 3 ? 2 : 3 });
await until(() => odd.error !== undefined);
await odd.close();
await together(a, b);
const errors = [codeOf(odd.error)];
if (threads > 0) {
  const lost = workers.length;
  const e = await Node.open("e", a);
  await together(a, b, e);
  await workers[lost]?.terminate();
  await until(() => e.error !== undefined);
  errors.push(codeOf(e.error));
  await e.close();
  await together(a, b);
  const f = await Node.open("f", a);
  await together(a, b, f);
  await workers.at(-1)?.terminate();
  await until(() => f.error !== undefined);
  errors.push(codeOf(f.error));
  await f.close();
  await together(a, b);
}
const wrong = [a, b, c].flatMap(({ steps }) => steps.filter((count) => count === 0)).length;
await Promise.all([a.close(), b.close()]);
for (const settings of [{ ringThreads: 17 }, { ringThreads: 1.5 }])
  errors.push(
    await Node.open("g", undefined, settings).then(
      () => "none",
      (error) => codeOf(error),
    ),
  );
// nothing keeps it alive now
process.stdout.write(JSON.stringify({ wrong, doors, errors }));
