/** Several nodes train as one does: the same batch gives the same steps, whatever becomes of the nodes meanwhile. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { Environment } from "../../../src/agent/environment.ts";
import type { Metrics } from "../../../src/train/run/metrics.ts";
import { ALPHABET, environment as branches } from "../../support/branching-environment.ts";
import { errorOf } from "../../support/errors.ts";
import { trainHere } from "../../support/train-here.ts";
import {
  globalBatch,
  lastTensors,
  type TogetherConfig,
  type TrainingNode,
  TrainingNodes,
  trainTogether,
  until,
} from "../../support/train-together.ts";
import { linesOf, stepsOf, useFolder } from "../../support/training-run.ts";

const folder = useFolder("together");

/** What a sum in another order leaves of f32. */
const REL = 1e-5;
const ABS = 1e-7;

/**
 * Metrics that tell the time, that measure rounding itself where no weights have changed, the shares of prefixes, of which a
 * node that has fewer samples has fewer in common, and what only the node that leads knows.
 */
const OWN =
  /^(wall_time$|time\/|throughput\/|cluster\/|yield\/(throughput|j)$|mismatch\/|regime\/|tree\/|lag\/bound$)/;
/** Likewise, where there is one update a step. */
const ROUNDING = /^(losses\/(approx_kl|old_approx_kl)|ratio\/std)$/;

type Lines = readonly Readonly<Record<string, unknown>>[];

/** Each metric of each step that has no reason to differ is the same, and there is a loss among them. */
function expectSame(actual: Lines, expected: Lines, { rel = REL } = {}): void {
  expect(actual.map(({ step }) => step)).toEqual(expected.map(({ step }) => step));
  for (const [i, line] of expected.entries()) {
    const own = actual[i] as (typeof actual)[number];
    const namesOf = (all: object): string[] => Object.keys(all).filter((name) => !OWN.test(name));
    expect(namesOf(own).sort()).toEqual(namesOf(line).sort());
    expect(namesOf(line)).toEqual(
      expect.arrayContaining(["losses/loss", "losses/grad_norm", "losses/entropy", "reward/mean"]),
    );
    for (const [name, value] of Object.entries(line)) {
      if (OWN.test(name) || ROUNDING.test(name)) continue;
      const [a, e] = [Number(own[name]), Number(value)];
      const isClose = Object.is(a, e) || Math.abs(a - e) <= ABS + rel * Math.abs(e);
      if (!isClose) expect.fail(`step ${i + 1}, ${name}: ${a} instead of ${e}`);
    }
  }
}

/** What a run without a cluster comes to. */
async function alone(name: string, config: TogetherConfig): Promise<Lines> {
  const { directory } = await trainHere(join(folder, name), config);
  return metricsIn(directory);
}

function metricsIn(directory: string): Lines {
  return linesOf(join(directory, "metrics.jsonl"));
}

/** All have the state of the first one after each step that they were there for, and its last checkpoint bit for bit. */
async function expectAgreed(nodes: readonly TrainingNode[]): Promise<void> {
  const [first, ...others] = nodes as [TrainingNode, ...TrainingNode[]];
  const tensors = lastTensors(await first.done);
  expect(new Set(first.hashes.values()).size).toBe(first.hashes.size);
  for (const other of others) {
    expect(other.hashes.size).toBeGreaterThan(0);
    for (const [step, hash] of other.hashes)
      expect([step, hash]).toEqual([step, first.hashes.get(step)]);
    for (const [name, bytes] of Object.entries(lastTensors(await other.done)))
      expect([name, bytes.equals(tensors[name] as Buffer)]).toEqual([name, true]);
  }
}

const plain = globalBatch({ train: { steps: 3 } });
const plainAlone = (() => {
  let lines: Promise<Lines> | undefined;
  return (): Promise<Lines> => (lines ??= alone("plain", plain));
})();

describe("the same global batch", () => {
  it.each([
    ["zero1", 1],
    ["zero1", 2],
    ["zero1", 4],
    ["ddp", 2],
    ["ddp", 3],
  ] as const)(
    "by %s at %i nodes: the same steps, and the same bits everywhere",
    async (sync, world) => {
      const nodes = await trainTogether(join(folder, `${sync}-${world}`), plain, { sync, world });
      for (const { result } of nodes) expectSame(metricsIn(result.directory), await plainAlone());
      for (const { members } of nodes)
        expect([...members.values()].map(({ length }) => length)).toEqual([world, world, world]);
      await expectAgreed(nodes);
      const said = nodes.flatMap(({ view }) => view.warnings).join();
      expect(said).not.toMatch(/made again|lost/);
    },
  );

  it.each([
    ["bf16", 2, 0.02],
    ["int8", 3, 0.1],
  ] as const)("in %s at %i nodes: near, and the same bits everywhere", async (wire, world, rel) => {
    const nodes = await trainTogether(join(folder, wire), plain, { wire, world });
    await expectAgreed(nodes);
    const [lines, expected] = [metricsIn(nodes[0]?.result.directory as string), await plainAlone()];
    for (const name of ["losses/loss", "losses/grad_norm", "losses/entropy"]) {
      const [own, other] = [lines, expected].map((all) => all.map((line) => Number(line[name])));
      // the first step begins with the same weights, and only what was sent is rounded
      expect(own?.[0]).toBeCloseTo(other?.[0] as number, name === "losses/grad_norm" ? 2 : 6);
      for (const [i, value] of (own ?? []).entries())
        expect(Math.abs(value - (other?.[i] as number))).toBeLessThan(
          rel * Math.abs(other?.[i] as number),
        );
    }
    const grads = [lines, expected].map((all) => all.map((line) => line["losses/grad_norm"]));
    expect(grads[0]).not.toEqual(grads[1]);
  });
});

describe("what the nodes have to put together", () => {
  it("ppo: a critic, epochs, minibatches, a divergence; and one node is gone half-way through a step", async () => {
    const config = globalBatch({
      algorithm: {
        ...{ name: "ppo", epochs: 2, minibatches: 2 },
        kl: { in: "loss", kind: "k3", coefficient: 0.05 },
      },
      train: { steps: 3 },
    });
    const expected = await alone("ppo", config);
    const nodes = new TrainingNodes(join(folder, "ppo-3"), config, { minWorld: 2 });
    const all = [await nodes.add(), await nodes.add(), await nodes.add()] as const;
    const [a, b, victim] = all;
    await until(() => victim.view.steps.has(1));
    const { sentBytes } = victim.cluster.status;
    // the first of the four updates is on its GPU, and on those of the others
    const oneStep = sentBytes / victim.view.steps.size;
    while (victim.cluster.status.sentBytes < sentBytes + oneStep / 2)
      await new Promise((resolve) => setImmediate(resolve));
    await victim.cluster[Symbol.asyncDispose]();
    const results = await Promise.all([a.done, b.done]);
    expect([...a.members.values()].map(({ length }) => length)).toEqual([3, 2, 2]);
    for (const { directory } of results) expectSame(metricsIn(directory), expected, { rel: 1e-4 });
    await expectAgreed([a, b]);
  });

  it("a divergence from what a warm start has made, which only the first node knows", async () => {
    const config = globalBatch({
      algorithm: { name: "grpo", kl: { in: "loss", kind: "k3", coefficient: 0.1 } },
      train: { steps: 3, warmStart: { steps: 3, batch: 4 } },
    });
    const expected = await alone("warm", config);
    expect(expected[0]?.["reference/k1"]).toBeCloseTo(0, 5);
    expect(Number(expected[2]?.["reference/kl"])).toBeGreaterThan(0);
    const nodes = await trainTogether(join(folder, "warm-2"), config, { world: 2 });
    for (const { result } of nodes) expectSame(metricsIn(result.directory), expected);
    await expectAgreed(nodes);
  });

  it("dapo: groups that teach nothing are replaced by the node that leads", async () => {
    const environment = defineEnvironment<number>({
      name: "mostly-equal",
      tasks: { train: (index) => index },
      taskId: String,
      prompt: () => "ab>",
      maxTokens: 2,
      rewards: { varied: ({ task, replies }) => (task % 3 === 0 ? (replies[0]?.ids[0] ?? 0) : 1) },
    });
    const config = globalBatch({
      ...{ environment, algorithm: { name: "dapo", dynamicSampling: { refillCap: 10 } } },
      train: { steps: 3 },
      rollout: { groupsPerStep: 2, slots: 2 },
    });
    const expected = await alone("dapo", config);
    expect(expected.every((line) => Number(line["rollout/dropped_groups"]) >= 2)).toBe(true);
    const nodes = await trainTogether(join(folder, "dapo-2"), config, { world: 2 });
    for (const { result } of nodes) expectSame(metricsIn(result.directory), expected);
    await expectAgreed(nodes);
  });

  it("forge: what it remembers of earlier returns", async () => {
    const config = globalBatch({
      algorithm: { name: "forge", baseline: "running" },
      train: { steps: 4 },
    });
    const expected = await alone("running", config);
    const nodes = await trainTogether(join(folder, "running-2"), config, { world: 2 });
    for (const { result } of nodes) expectSame(metricsIn(result.directory), expected);
    await expectAgreed(nodes);
  });
});

describe("nodes that come and go", () => {
  it("one comes in the middle, then the one that leads leaves: the steps stay the same", async () => {
    const expected = await alone("comes", globalBatch({ train: { steps: 6 } }));
    let open = (): void => {};
    let gate = Promise.resolve();
    const environment: Environment<string> = {
      ...branches,
      play: async (context) => {
        await gate;
        return branches.play(context);
      },
    };
    const config = globalBatch({ environment, train: { steps: 6 } });
    const nodes = new TrainingNodes(join(folder, "comes-and-goes"), config, { minWorld: 2 });
    const [a, b] = [await nodes.add(), await nodes.add()];
    const noted = a.view.step.bind(a.view);
    a.view.step = (step: number, metrics: Metrics) => {
      noted(step, metrics);
      if (step === 2)
        gate = new Promise((resolve) => {
          open = resolve;
        });
      if (step === 4) a.cluster.leave();
    };
    await until(() => a.view.steps.has(2));
    const c = await nodes.add();
    await until(() => a.cluster.record.members.length === 3);
    open();
    expect(await errorOf(a.done)).toMatchObject({ code: "connection_closed" });
    const { directory } = await b.done;
    await c.done;
    expect([...b.members].map(([step, { length }]) => [step, length])).toEqual([
      ...[1, 2].map((step) => [step, 2]),
      ...[3, 4].map((step) => [step, 3]),
      ...[5, 6].map((step) => [step, 2]),
    ]);
    expect([...c.hashes.keys()]).toEqual([3, 4, 5, 6]);
    expect(b.members.get(6)).toEqual(["n1", "n2"]);
    expectSame(metricsIn(directory), expected, { rel: 1e-4 });
    await expectAgreed([b, c]);
    for (const [step, hash] of a.hashes) expect(b.hashes.get(step)).toBe(hash);
  });

  it("a checkpoint of one node is gone on with by three, and theirs by one", async () => {
    const whole = globalBatch({ train: { steps: 4 } });
    const upTo = (steps: number): TogetherConfig => ({
      ...whole,
      train: { ...whole.train, steps },
    });
    const expected = await alone("uninterrupted", whole);
    const begun = await trainHere(join(folder, "begun"), upTo(1));
    const config = upTo(3);
    const nodes = new TrainingNodes(join(folder, "gone-on"), config, { minWorld: 3 });
    const first = await nodes.add({ resume: begun.directory });
    const all = [first, await nodes.add(), await nodes.add()];
    await Promise.all(all.map(({ done }) => done));
    await expectAgreed(all);
    const { directory } = await trainHere(join(folder, "begun"), whole, {
      resume: begun.directory,
    });
    expectSame(metricsIn(directory), expected);
  });
});

describe("rewards that are far too large", () => {
  const share = (ids: readonly number[]): number =>
    ids.reduce((sum, id, i) => sum + id / (ALPHABET.length + 2) ** (i + 1), 0);
  /** So are those of the last group of the second step, which is in the share of the last node. */
  const config = (excess: number): TogetherConfig =>
    globalBatch({
      environment: defineEnvironment<number>({
        name: "counting",
        tasks: { train: (index) => index },
        prompt: () => "ab>",
        maxTokens: 4,
        rewards: {
          share: ({ task, replies }) => (task === 7 ? excess : 1) * share(replies[0]?.ids ?? []),
        },
      }),
      algorithm: { name: "dr_grpo" },
      ...{ checkpoint: { every: 1 }, train: { steps: 3 } },
    });

  it("so that a loss is not finite: the run ends at all nodes, with the state before", async () => {
    const place = join(folder, "spoilt");
    const nodes = new TrainingNodes(place, config(1e42), { minWorld: 3 });
    const all = [await nodes.add(), await nodes.add(), await nodes.add()];
    const errors = await Promise.all(all.map(({ done }) => errorOf(done)));
    for (const error of errors) {
      expect(error).toBeInstanceOf(ForgeError);
      expect((error as ForgeError).code).toBe("non_finite");
      expect(error.message).toContain("at 1 of the nodes");
    }
    for (const { cluster, hashes } of all)
      expect([cluster.record.step, cluster.record.hash]).toEqual([1, hashes.get(1)]);
    const runs = join(place, "n0", "tiny");
    const run = join(runs, readdirSync(runs)[0] as string);
    expect(stepsOf(run)).toEqual(["step-000001"]);
    await trainHere(join(place, "n0"), config(1), { resume: run });
    expectSame(metricsIn(run), await alone("sound", config(1)));
  });

  it("so that the square of a norm is beyond f32: they are clipped as at one node", async () => {
    const large = config(1e29);
    const nodes = await trainTogether(join(folder, "large"), large, { world: 2 });
    const expected = await alone("large", large);
    expect(expected[1]?.["losses/grad_norm"]).toBeGreaterThan(1e24);
    for (const { result } of nodes) expectSame(metricsIn(result.directory), expected);
  });
});
