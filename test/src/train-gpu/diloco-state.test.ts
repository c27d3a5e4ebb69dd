/** What nodes that meet seldom agree on, between two that have found each other. */
import { afterEach, expect, it } from "vitest";
import { Cluster, type Order, Token } from "../../../cluster/index.ts";
import { AdamW, parameter } from "../../../engine/index.ts";
import { DilocoExchange } from "../../../src/train/cluster/diloco-exchange.ts";
import { DilocoState } from "../../../src/train/cluster/diloco-state.ts";
import { SharedReference } from "../../../src/train/cluster/shared-reference.ts";
import { device } from "../../support/gpu.ts";
import { until } from "../../support/train-together.ts";

const shared = await device();
const token = Token.create();
const LENGTH = 128;
const WAY = { every: 4, outerLr: 0.7, outerMomentum: 0.9 };
const { signal } = new AbortController();
const clusters: Cluster[] = [];

afterEach(async () => {
  await Promise.all(clusters.splice(0).map((cluster) => cluster[Symbol.asyncDispose]()));
});

/** A node, with parameters that are all of one value. */
class Node {
  readonly cluster: Cluster;
  readonly optimizer: AdamW;
  readonly exchange = new DilocoExchange("f32");
  readonly state: DilocoState;

  private constructor(cluster: Cluster, value: number) {
    const { exchange } = this;
    this.cluster = cluster;
    this.optimizer = new AdamW(shared, [parameter([LENGTH], value, "w")], { lr: 0.1 });
    exchange.attach(this.optimizer);
    const { optimizer } = this;
    const reference = new SharedReference(cluster, shared, undefined);
    this.state = new DilocoState({
      ...{ cluster, optimizer, exchange, reference },
      way: WAY,
      lastStep: 99,
    });
  }

  static async open(nodeId: string, value: number): Promise<Node> {
    const cluster = await Cluster.open({
      ...{ nodeId, token, runId: "0f".repeat(16) },
      membership: { beat: 50, lostAfter: 600_000 },
      limits: { heartbeatMs: 1_000, heartbeatMisses: 20 },
    });
    clusters.push(cluster);
    return new Node(cluster, value);
  }

  /** As an update of its own would: the parameters are of another value, and the moments not 0. */
  update(value: number): void {
    const { flat, m, u } = this.optimizer;
    for (const state of [flat.flat, m, u])
      state.write(shared, new Float32Array(LENGTH).fill(value));
    flat.stepCount++;
    this.exchange.inner.stepped();
  }

  /** Of the parameters and the moments, the first of each; and how many updates there were. */
  async read(): Promise<readonly number[]> {
    const { flat, m, u } = this.optimizer;
    const arrays = await Promise.all([flat.flat, m, u].map((state) => state.read()));
    for (const array of arrays) expect(new Set(array as Float32Array).size).toBe(1);
    const firsts = arrays.map((array) => array[0] as number);
    return [...firsts, flat.stepCount, flat.momentsSince, this.exchange.inner.updates];
  }

  async fetched(): Promise<Extract<Order, { type: "fetch" }>["fetch"]> {
    let order: Order | undefined;
    await until(() => {
      order = this.cluster.orders.take();
      return order?.type === "fetch";
    });
    return (order as Extract<Order, { type: "fetch" }>).fetch;
  }
}

/** One that has founded a cluster after 12 updates, and one that joins it. */
async function pair(): Promise<readonly [Node, Node]> {
  const [a, b] = [await Node.open("a", 5), await Node.open("b", 1)];
  a.optimizer.flat.stepCount = 12;
  a.exchange.outer.velocity = new Float32Array(LENGTH).fill(0.25);
  await a.state.capture(0, null);
  await a.cluster.found(0, a.state.hash);
  a.cluster.ready(0, a.state.hash, null);
  await b.cluster.join(a.cluster.address);
  return [a, b];
}

it("who comes has the parameters, the velocity and the schedule of the others, and moments of no age", async () => {
  const [a, b] = await pair();
  await b.state.fetch(await b.fetched(), signal);
  expect(b.state.hash).toBe(a.state.hash);
  expect(await b.read()).toEqual([5, 0, 0, 12, 12, 0]);
  expect(b.exchange.outer.velocity).toEqual(a.exchange.outer.velocity);
  expect(b.cluster.blobs.isFor("rollout", b.state.manifest.parameters.hash)).toBe(true);
  expect(b.cluster.blobs.isFor("rollout", b.state.manifest.moments[0]?.hash as string)).toBe(false);
});

it("who comes back keeps what it has moved in this round, and in another one its moments", async () => {
  const [a, b] = await pair();
  const order = await b.fetched();
  const fetch = (): Promise<void> => b.state.fetch({ ...order, hash: a.state.hash }, signal);
  await fetch();
  b.update(2);
  expect(await b.read()).toEqual([2, 2, 2, 13, 12, 1]);
  // the others have made three updates more, and have not met
  a.optimizer.flat.stepCount = 16;
  await a.state.capture(3, null);
  await fetch();
  expect(await b.read()).toEqual([2, 2, 2, 16, 15, 1]);
  expect(b.state.hash).toBe(a.state.hash);
  a.update(7);
  await a.state.capture(4, null);
  await fetch();
  expect(await b.read()).toEqual([7, 2, 2, 17, 16, 0]);
});

it("what checkpoints hold is on the GPU until the node goes on with its own", async () => {
  const a = await Node.open("a", 5);
  await a.state.capture(0, null);
  expect(await a.state.present()).toBe(false);
  a.update(3);
  expect(await a.state.present()).toBe(true);
  expect(await a.state.present()).toBe(true);
  expect(await a.read()).toEqual([5, 3, 3, 1, 0, 1]);
  a.state.rollback();
  expect(await a.read()).toEqual([3, 3, 3, 1, 0, 1]);
});

it("blobs of states that are over are there no more", async () => {
  const a = await Node.open("a", 5);
  await a.state.capture(0, null);
  const { ring } = await lone(a);
  const { blobs } = a.cluster;
  const before = blobs.bytes;
  const hashes: string[] = [];
  for (let step = 1; step <= 8; step++) {
    await a.state.enter();
    a.exchange.enter(ring, signal);
    a.update(step);
    const staged = { step, members: ["a"], work: null };
    const hash = await a.state.stage(ring, staged);
    a.state.rollback();
    expect(blobs.get(hash)).toBeUndefined();
    await a.state.enter();
    a.exchange.enter(ring, signal);
    a.update(step);
    expect(await a.state.stage(ring, staged)).toBe(hash);
    a.exchange.commit();
    a.state.commit();
    hashes.push(a.state.manifest.parameters.hash);
    expect(a.state.isOnePolicy).toBe(step % 4 === 0);
  }
  expect(hashes.map((hash) => hashes.indexOf(hash))).toEqual([0, 0, 0, 3, 3, 3, 3, 7]);
  // of the last two: parameters, velocity and manifest each
  expect(blobs.bytes).toBeLessThan(2.1 * before);
  expect(blobs.get(hashes[0] as string)).toBeUndefined();
  expect(blobs.get(hashes[6] as string)).toBeDefined();
});

/** Its ring, when it is alone in it. */
async function lone(node: Node): Promise<{ ring: Awaited<ReturnType<Cluster["collectives"]>> }> {
  const { cluster, state } = node;
  await cluster.found(0, state.hash);
  cluster.ready(0, state.hash, "work");
  let order: Order | undefined;
  await until(() => {
    order = cluster.orders.take();
    return order?.type === "move";
  });
  const { move } = order as Extract<Order, { type: "move" }>;
  return { ring: await cluster.collectives(move) };
}
