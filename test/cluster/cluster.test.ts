/** Nodes, whole, with real sockets in one process: who is in, what they say of themselves, and what they fetch. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cluster, Token } from "../../cluster/index.ts";

const token = Token.create();
const runId = "0f".repeat(16);
const nodes: CountingHost[] = [];
/** Whether the nodes' control planes have threads of their own. */
let controlThread = false;

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()));
});

/** A host whose state is the number of steps. In each step it adds up a one of everybody. */
class CountingHost {
  readonly cluster: Cluster;
  /** The sums, by the step. */
  readonly sums = new Map<number, number>();
  readonly done: Promise<void>;
  /** It has no more work, so that nothing moves where it leads; and it has said so. */
  isPaused = false;
  hasPaused = false;
  #isClosed = false;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.done = this.#obey();
  }

  static async open(nodeId: string, contact?: CountingHost, other?: Token): Promise<CountingHost> {
    const cluster = await Cluster.open({
      ...{ nodeId, runId, token: other ?? token, progressMs: 20_000, connectMs: 20_000 },
      membership: { beat: 50, lostAfter: 600_000 },
      limits: { heartbeatMs: 1_000, heartbeatMisses: 20 },
      controlThread,
    });
    const host = new CountingHost(cluster);
    nodes.push(host);
    if (contact) await cluster.join(contact.cluster.address);
    else {
      await cluster.found(0, "0");
      cluster.ready(0, "0", "count");
    }
    return host;
  }

  get step(): number {
    return this.cluster.status.ownStep;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.cluster.orders.end();
    await this.done;
    await this.cluster[Symbol.asyncDispose]();
  }

  async #obey(): Promise<void> {
    const { cluster } = this;
    const { orders } = cluster;
    while (!this.#isClosed) {
      const order = orders.take();
      if (order?.type === "end") return;
      if (order?.type === "fetch") cluster.ready(order.fetch.step, order.fetch.hash, "count");
      if (order?.type === "move") {
        const { move, signal, isCommitted } = order;
        try {
          // one that is alone would never let the event loop turn
          await sleep(1);
          const ring = await cluster.collectives(move);
          const [sum = 0] = await ring.sum([1], signal);
          cluster.moved(move, `${move.step}`);
          if (!(await isCommitted)) continue;
          this.sums.set(move.step, sum);
          this.hasPaused = this.isPaused;
          cluster.ready(move.step, `${move.step}`, this.isPaused ? null : "count");
        } catch (error) {
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

/** Three nodes that have made a step together. */
async function three(): Promise<[CountingHost, CountingHost, CountingHost]> {
  const a = await CountingHost.open("a");
  const b = await CountingHost.open("b", a);
  const c = await CountingHost.open("c", b);
  await until(() => [a, b, c].every(({ sums }) => [...sums.values()].includes(3)));
  return [a, b, c];
}

describe.each([false, true])("a cluster, with control planes in threads: %s", (inThreads) => {
  beforeEach(() => {
    controlThread = inThreads;
  });

  it("says how far it is, and who is in it, to whoever has its token", async () => {
    const [a, b, c] = await three();
    a.isPaused = true;
    await until(() => a.hasPaused && b.step === a.step && c.step === a.step);
    const all = await Promise.all([a, b, c].map((node) => c.cluster.ask(node.cluster.address)));
    for (const [i, status] of all.entries()) {
      expect(status).toMatchObject({
        ...{ node: "abc"[i], isLeading: i === 0, leader: "a", members: ["a", "b", "c"] },
        ...{ step: a.step, hash: `${a.step}`, ownStep: a.step, epoch: a.cluster.record.epoch },
      });
      expect(status.addresses).toMatchObject({ a: a.cluster.address });
      expect(status.sentBytes).toBeGreaterThan(0);
      expect(status.uptime).toBeGreaterThan(status.collectiveSeconds);
    }
    expect(c.cluster.addressOf("c")).toBe(c.cluster.address);
    const stranger = await Cluster.open({ runId, nodeId: "x", token: Token.create() });
    await expect(stranger.ask(a.cluster.address)).rejects.toMatchObject({
      code: "peer_unauthorized",
    });
    await stranger[Symbol.asyncDispose]();
  });

  it("whoever leads leaves and stays there: the next one leads at once", async () => {
    const [a, b, c] = await three();
    a.cluster.leave();
    await a.done;
    // one that is silent would be waited for for ten minutes
    const { step } = b;
    await until(() => b.step > step + 5 && c.step > step + 5);
    expect(b.cluster.record.members).toEqual(["b", "c"]);
    expect([a, b, c].map(({ cluster }) => cluster.isLeading)).toEqual([false, true, false]);
    expect(b.sums.get(b.step)).toBe(2);
    // it may be asked for what it has, as long as it is there
    expect(b.cluster.addressOf("a")).toBe(a.cluster.address);
  });

  it("finishes when all have left, or are gone", async () => {
    const [a, b, c] = await three();
    let isOver = false;
    const over = Promise.all([a.cluster.finish(600_000), b.cluster.finish(600_000)]).then(() => {
      isOver = true;
    });
    await until(() => c.cluster.record.members.length === 1);
    expect(isOver).toBe(false);
    await c.cluster.finish(600_000);
    await Promise.all([a, b, c].map(({ cluster }) => cluster[Symbol.asyncDispose]()));
    await over;
    expect(c.cluster.record.members).toEqual([]);
  });

  it("a blob of which only the hash is known comes from the first node that has it", async () => {
    const [a, b, c] = await three();
    const bytes = new TextEncoder().encode("a manifest");
    const { hash } = b.cluster.blobs.put(bytes);
    const ask = (nodes: readonly string[]): Promise<Uint8Array> =>
      c.cluster.fetchBlob({ hash, size: undefined }, nodes);
    expect(Buffer.from(await ask(["a", "b"]))).toEqual(Buffer.from(bytes));
    // neither oneself nor who is not known is asked
    for (const nodes of [[], ["a"], ["c"], ["nobody"]])
      await expect(ask(nodes)).rejects.toMatchObject({ code: "peer_unreachable" });
    expect(a.cluster.blobs.get(hash)).toBeUndefined();
  });
});
