/** Nodes that step by themselves, and what they make of it when they meet. */
import { describe, expect, it } from "vitest";
import type { Collectives, WireType } from "../../../cluster/index.ts";
import { AdamW, mul, parameter, sum, type Tensor, tensor } from "../../../engine/index.ts";
import { DilocoExchange } from "../../../src/train/cluster/diloco-exchange.ts";
import { outerStep } from "../../../src/train/cluster/outer-optimizer.ts";
import { GradientStep } from "../../../src/train/learner/gradient-step.ts";
import { exchangeRings } from "../../support/exchange-rings.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";

const shared = await device();
const WORLD = 3;
/** A multiple of what flat parameters are padded to. */
const LENGTH = 1024;
const START = new Float32Array(LENGTH).fill(0.5);

/** Its steps are not the same for gradients of all sizes: ε is as large as they are. What is added is the gradient. */
class Stepper {
  readonly optimizer: AdamW;
  readonly gradients: GradientStep<[Tensor], Tensor>;

  constructor(clipNorm?: number) {
    const weights = parameter([LENGTH], 0.5, "w");
    this.optimizer = new AdamW(shared, [weights], {
      ...{ lr: 0.1, eps: 1 },
      ...(clipNorm !== undefined && { clipNorm }),
    });
    this.gradients = new GradientStep(this.optimizer, "test", (gradient: Tensor) => {
      const loss = sum(mul(weights, gradient));
      return { loss, result: loss };
    });
  }

  async step(gradient: Float32Array): Promise<number> {
    await this.gradients.add(tensor(gradient));
    return (await this.gradients.step()).gradNorm;
  }

  /** Parameters, moments and counts. */
  async read(): Promise<readonly unknown[]> {
    const { flat, m, u } = this.optimizer;
    const arrays = await Promise.all([flat.flat, m, u].map((state) => state.read()));
    return [...arrays, flat.stepCount, flat.momentsSince];
  }

  async parameters(): Promise<Float32Array> {
    return (await this.optimizer.flat.flat.read()) as Float32Array;
  }
}

/** A node in a ring, in a step. */
class Node extends Stepper {
  readonly exchange: DilocoExchange;
  readonly ring: Collectives;

  constructor(ring: Collectives, wire: WireType, clipNorm?: number) {
    super(clipNorm);
    this.ring = ring;
    this.exchange = new DilocoExchange(wire);
    this.exchange.attach(this.optimizer);
    this.enter();
  }

  enter(): void {
    this.exchange.enter(this.ring, new AbortController().signal);
  }

  /** With the gradient of its share, if it has one. */
  async update(gradient: Float32Array | undefined): Promise<number> {
    const update = await this.exchange.begin(this.gradients);
    if (gradient) await this.gradients.add(tensor(gradient));
    expect(await update.added()).toBe(true);
    return update.step();
  }
}

async function nodesOf(wire: WireType = "f32", clipNorm?: number): Promise<Node[]> {
  return (await exchangeRings(WORLD)).map((ring) => new Node(ring, wire, clipNorm));
}

function gradientsOf(seed: number): Float32Array[] {
  const random = randoms(seed);
  return Array.from({ length: WORLD }, (_, rank) =>
    random.floats(LENGTH).map((value) => value / (rank + 1)),
  );
}

/** All do the same, each with its number. */
function each<T>(
  nodes: readonly Node[],
  act: (node: Node, rank: number) => Promise<T>,
): Promise<T[]> {
  return Promise.all(nodes.map(act));
}

function meanOf(arrays: readonly Float32Array[], weights = arrays.map(() => 1)): Float32Array {
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  return Float32Array.from({ length: LENGTH }, (_, i) =>
    arrays.reduce((sum, own, n) => sum + ((weights[n] as number) * (own[i] as number)) / all, 0),
  );
}

function normOf(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
}

describe("an update of nodes by themselves", () => {
  it.each([[undefined], [0.75], [1e6]])(
    "steps with so many times the own gradient as there are nodes, clipped to %s, and meets in the mean",
    async (clipNorm) => {
      const gradients = gradientsOf(3);
      const nodes = await nodesOf("f32", clipNorm);
      const norms = await each(nodes, (node, rank) => node.update(gradients[rank]));
      const expected: Float32Array[] = [];
      for (const gradient of gradients) {
        const alone = new Stepper(clipNorm);
        await alone.step(gradient.map((value) => WORLD * value));
        expected.push(await alone.parameters());
      }
      const inner = await each(nodes, (node) => node.parameters());
      for (const [rank, own] of inner.entries())
        expectClose(own, expected[rank] as Float32Array, { abs: 1e-7, rel: 1e-6 });
      const squares = gradients.map((gradient) => (WORLD * normOf(gradient)) ** 2);
      const norm = Math.sqrt(squares.reduce((sum, square) => sum + square) / WORLD);
      for (const own of norms) expect(Math.abs(own - norm)).toBeLessThan(1e-5 * norm);
      expect(new Set(norms).size).toBe(1);
      const met = await each(nodes, (node) => node.exchange.outerGradient(START));
      for (const gradient of met) {
        expect(gradient).toEqual(met[0]);
        const values = { parameters: START, velocity: new Float32Array(LENGTH) };
        const way = { outerLr: 1, outerMomentum: 0 };
        const { parameters } = outerStep(values, gradient as Float32Array, way);
        expectClose(parameters, meanOf(inner), { abs: 1e-7, rel: 1e-6 });
      }
    },
  );

  it("is none for a node without a share, whose schedule goes on and whose moments grow no older", async () => {
    const gradients = gradientsOf(5);
    const nodes = await nodesOf();
    const [first, idle] = nodes as [Node, Node];
    await each(nodes, (node, rank) => node.update(gradients[rank]));
    const before = await idle.read();
    const norms = await each(nodes, (node, rank) =>
      node.update(rank === 1 ? undefined : gradients[rank]),
    );
    const after = await idle.read();
    expect(after.slice(0, 3)).toEqual(before.slice(0, 3));
    expect(after.slice(3)).toEqual([2, 1]);
    expect((await first.read()).slice(3)).toEqual([2, 0]);
    expect(nodes.map(({ exchange }) => exchange.inner.updates)).toEqual([2, 1, 2]);
    // it is left out of the norm, too
    const busy = gradients.toSpliced(1, 1).map((gradient) => (WORLD * normOf(gradient)) ** 2);
    const norm = Math.sqrt(busy.reduce((sum, square) => sum + square) / 2);
    for (const own of norms) expect(Math.abs(own - norm)).toBeLessThan(1e-5 * norm);
    // and what it has moved counts by its one update of five
    const inner = await each(nodes, (node) => node.parameters());
    const met = await each(nodes, (node) => node.exchange.outerGradient(START));
    const moved = inner.map((own) => own.map((value) => 0.5 - value));
    for (const gradient of met)
      expectClose(gradient as Float32Array, meanOf(moved, [2, 1, 2]), { abs: 1e-7, rel: 1e-6 });
  });

  it("is told to have failed at all nodes where the norm of one is not finite", async () => {
    const gradients = gradientsOf(7);
    (gradients[1] as Float32Array)[5] = Number.NaN;
    const nodes = await nodesOf();
    const before = await each(nodes, (node) => node.read());
    for (const { exchange } of nodes) exchange.inner.keep();
    const norms = await each(nodes, (node, rank) => node.update(gradients[rank]));
    expect(norms).toEqual(nodes.map(() => Number.POSITIVE_INFINITY));
    const [, spoilt] = nodes as [Node, Node];
    expect((await spoilt.read()).slice(0, 3)).toEqual(before[1]?.slice(0, 3));
    for (const { exchange } of nodes) exchange.inner.restore();
    expect(await each(nodes, (node) => node.read())).toEqual(before);
    expect(await each(nodes, (node) => node.exchange.outerGradient(START))).toEqual(
      nodes.map(() => undefined),
    );
  });
});

describe("what goes round when nodes meet", () => {
  it.each([
    ["bf16", 2 ** -7],
    ["int8", 2 ** -5],
  ] as const)("in %s it is near, and the same bits everywhere", async (wire, rel) => {
    const gradients = gradientsOf(9);
    const nodes = await nodesOf(wire);
    await each(nodes, (node, rank) => node.update(gradients[rank]));
    const inner = await each(nodes, (node) => node.parameters());
    const mean = meanOf(inner.map((own) => own.map((value) => 0.5 - value)));
    const largest = Math.max(...mean.map(Math.abs));
    const meet = (): Promise<(Float32Array | undefined)[]> =>
      each(nodes, (node) => node.exchange.outerGradient(START));
    const met = await meet();
    for (const gradient of met) {
      expect(gradient).toEqual(met[0]);
      expectClose(gradient as Float32Array, mean, { abs: rel * largest, rel: 0 });
    }
    expect(met[0]).not.toEqual(mean);
    // the meeting came to nothing: it leaves no trace
    for (const node of nodes) node.enter();
    expect(await meet()).toEqual(met);
    for (const node of nodes) node.exchange.commit();
    // one that counts leaves what it lost in int8, which the next one makes up for
    for (const node of nodes) node.enter();
    const next = await meet();
    if (wire === "bf16") expect(next).toEqual(met);
    else {
      const [first, second] = [met[0], next[0]] as [Float32Array, Float32Array];
      const error = (all: readonly Float32Array[]): number => {
        const said = meanOf(all);
        return normOf(mean.map((value, i) => value - (said[i] as number)));
      };
      expect(second).not.toEqual(first);
      expect(error([first, second])).toBeLessThan(0.75 * error([first]));
    }
    for (const node of nodes) node.exchange.forget();
    for (const node of nodes) node.enter();
    expect(await meet()).toEqual(met);
  });
});

describe("what a node has for itself", () => {
  it("is there again, bit for bit, after an attempt that came to nothing, and only then", async () => {
    const gradients = gradientsOf(11);
    const nodes = await nodesOf();
    const update = (): Promise<number[]> =>
      each(nodes, (node, rank) => node.update(gradients[rank]));
    await update();
    const [{ exchange }] = nodes as [Node];
    const [node] = nodes as [Node];
    const before = await node.read();
    exchange.inner.restore();
    expect(await node.read()).toEqual(before);
    exchange.inner.keep();
    await update();
    exchange.inner.keep();
    expect(await node.read()).not.toEqual(before);
    expect(exchange.inner.updates).toBe(2);
    exchange.inner.restore();
    expect(await node.read()).toEqual(before);
    expect(exchange.inner.updates).toBe(1);
    exchange.inner.keep();
    await update();
    const after = await node.read();
    exchange.inner.forget();
    exchange.inner.restore();
    expect(await node.read()).toEqual(after);
  });

  it("goes on from where all have met with its own moments, of their own age", async () => {
    const gradients = gradientsOf(13);
    const nodes = await nodesOf();
    await each(nodes, (node, rank) => node.update(gradients[rank]));
    const [node] = nodes as [Node];
    const [, m, u] = await node.read();
    const met = START.map((value, i) => value + i);
    node.exchange.inner.adopt(met, 41);
    expect(await node.read()).toEqual([met, m, u, 41, 40]);
    expect(node.exchange.inner.updates).toBe(0);
    // the step after it is the second of the moments, whatever the schedule's number is
    const [gradient] = gradients as [Float32Array];
    await node.step(gradient);
    const other = new Stepper();
    await other.step(gradient.map((value) => WORLD * value));
    other.optimizer.flat.flat.write(shared, met);
    await other.step(gradient);
    expectClose(await node.parameters(), await other.parameters(), { abs: 1e-7, rel: 1e-6 });
  });
});
