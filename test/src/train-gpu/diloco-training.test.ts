/** Nodes that meet at every H-th step train one policy, whatever becomes of them meanwhile. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ClusterError } from "../../../cluster/index.ts";
import { ForgeError } from "../../../engine/error.ts";
import type { Environment } from "../../../src/agent/environment.ts";
import { readManifest } from "../../../src/train/cluster/state-manifest.ts";
import type { Diloco } from "../../../src/train/cluster/way.ts";
import type { Metrics } from "../../../src/train/run/metrics.ts";
import type { TrainResult } from "../../../src/train/train.ts";
import { ALPHABET, environment as branches } from "../../support/branching-environment.ts";
import { errorOf } from "../../support/errors.ts";
import { trainHere } from "../../support/train-here.ts";
import {
  globalBatch,
  type TogetherConfig,
  type TrainingNode,
  TrainingNodes,
  trainTogether,
  until,
} from "../../support/train-together.ts";
import { linesOf, stepsOf, useFolder } from "../../support/training-run.ts";

const folder = useFolder("diloco");

const every = (steps: number, outer: Partial<Diloco> = {}): Diloco => ({
  ...{ every: steps, outerLr: 0.7, outerMomentum: 0.9 },
  ...outer,
});

/** Bytes of a file of a run's last checkpoint. */
function lastFile({ directory }: TrainResult, name: string): Buffer {
  const step = stepsOf(directory).at(-1) as string;
  return readFileSync(join(directory, "checkpoints", step, name));
}

/** All have agreed on each step that they were there for, and have the same policy and velocity in the end. */
async function expectAgreed(nodes: readonly TrainingNode[]): Promise<void> {
  const [first, ...others] = nodes as [TrainingNode, ...TrainingNode[]];
  const result = await first.done;
  expect(new Set(first.hashes.values()).size).toBe(first.hashes.size);
  for (const other of others) {
    expect(other.hashes.size).toBeGreaterThan(0);
    for (const [step, hash] of other.hashes)
      expect([step, hash]).toEqual([step, first.hashes.get(step)]);
    for (const name of ["policy.safetensors", "outer.safetensors"])
      expect(lastFile(await other.done, name).equals(lastFile(result, name))).toBe(true);
  }
}

/** Of a node at each step: the hash of its parameters, and the bytes that it has sent in it. */
function watch(node: TrainingNode): {
  readonly parameters: Map<number, string>;
  readonly sent: Map<number, number>;
} {
  const { cluster, view } = node;
  const [parameters, sent] = [new Map<number, string>(), new Map<number, number>()];
  const noted = view.step.bind(view);
  let before = 0;
  view.step = (step: number, metrics: Metrics): void => {
    noted(step, metrics);
    const manifest = cluster.blobs.get(cluster.record.hash);
    if (manifest) parameters.set(step, readManifest(manifest).parameters.hash);
    const { sentBytes } = cluster.status;
    sent.set(step, sentBytes - before);
    before = sentBytes;
  };
  return { parameters, sent };
}

/** An environment whose episodes wait while a gate is closed. */
class Gate {
  #open: () => void = () => {};
  #gate = Promise.resolve();
  readonly environment: Environment<string> = {
    ...branches,
    play: async (context) => {
      await this.#gate;
      return branches.play(context);
    },
  };

  close(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }
}

const metricsIn = ({ directory }: TrainResult): Record<string, unknown>[] =>
  linesOf(join(directory, "metrics.jsonl"));

describe("between two meetings", () => {
  it.each([
    [2, "f32"],
    [3, "int8"],
  ] as const)(
    "%i nodes send next to nothing, and agree all the same; in %s",
    async (world, wire) => {
      const tokenizer = { kind: "characters", alphabet: ALPHABET } as const;
      // so that what is said of each token is little beside the weights
      const create = { layers: 1, width: 64, heads: 2, maxLength: 32, tokenizer };
      const config = globalBatch({ model: { create }, train: { steps: 5 } });
      const nodes = new TrainingNodes(join(folder, `${wire}-${world}`), config, {
        ...{ sync: every(2), wire, minWorld: world },
      });
      const all: TrainingNode[] = [];
      for (let i = 0; i < world; i++) all.push(await nodes.add());
      const watched = all.map(watch);
      const results = await Promise.all(all.map(({ done }) => done));
      await expectAgreed(all);
      for (const { parameters, sent } of watched) {
        // 1 | 2 3 | 4 | 5, which is the last
        const versions = [1, 2, 3, 4, 5].map((step) => parameters.get(step) as string);
        expect(versions[2]).toBe(versions[1]);
        expect(new Set(versions).size).toBe(4);
        const elements = lastFile(results[0] as TrainResult, "outer.safetensors").length / 4;
        const round = ((wire === "f32" ? 4 : 1) * 2 * (world - 1) * elements) / world;
        for (const step of [1, 3]) expect(sent.get(step)).toBeLessThan(0.15 * round);
        for (const step of [2, 4, 5]) expect(sent.get(step)).toBeGreaterThan(0.8 * round);
      }
      // samples are those of one policy in the steps after a meeting only: of these nodes have the same weights
      for (const [i, result] of results.entries()) {
        const lines = metricsIn(result);
        const mismatches = lines.map((line) => line["mismatch/max_abs"]);
        expect(mismatches.map((value) => value === undefined)).toEqual([
          false,
          true,
          false,
          true,
          false,
        ]);
        for (const value of mismatches) expect(Number(value ?? 0)).toBeLessThan(1e-5);
        const norms = lines.map((line) => line["losses/grad_norm"]);
        expect(norms).toEqual(
          metricsIn(results[0] as TrainResult).map((l) => l["losses/grad_norm"]),
        );
        expect(
          lastFile(result, "optimizer.safetensors").equals(
            lastFile(results[0] as TrainResult, "optimizer.safetensors"),
          ),
        ).toBe(i === 0);
      }
    },
  );

  it("one node that meets nobody at every step, at a rate of 1, trains as without a cluster", async () => {
    const config = globalBatch({ train: { steps: 3 } });
    const sync = every(1, { outerLr: 1, outerMomentum: 0 });
    const [node] = await trainTogether(join(folder, "one"), config, { world: 1, sync });
    const alone = metricsIn(await trainHere(join(folder, "alone"), config));
    const lines = metricsIn((node as { result: TrainResult }).result);
    expect(lines).toHaveLength(3);
    for (const [i, line] of lines.entries())
      for (const name of ["losses/loss", "losses/grad_norm", "losses/entropy", "reward/mean"]) {
        const [own, other] = [Number(line[name]), Number(alone[i]?.[name])];
        expect(Math.abs(own - other)).toBeLessThan(1e-7 + 1e-4 * Math.abs(other));
      }
  });
});

describe("what all agree on", () => {
  it("is evaluated and saved between two meetings, and takes nothing from what a node has moved", async () => {
    const run = async (name: string, config: TogetherConfig): Promise<TrainResult> => {
      const options = { world: 1, sync: every(4) };
      const [node] = await trainTogether(join(folder, name), globalBatch(config), options);
      return (node as { result: TrainResult }).result;
    };
    const quiet = await run("quiet", { train: { steps: 4 } });
    const shown = await run("shown", {
      ...{ train: { steps: 4 }, eval: { every: 1, samples: 4, temperature: 1 } },
      checkpoint: { every: 1, keep: 9 },
    });
    for (const name of ["policy", "outer", "optimizer"].map((part) => `${part}.safetensors`))
      expect(lastFile(shown, name).equals(lastFile(quiet, name))).toBe(true);
    const evaluated = metricsIn(shown).map((line) => line["eval/reward_mean"]);
    expect(evaluated.slice(0, 4)).toEqual(new Array(4).fill(evaluated[0]));
    expect(evaluated[4]).not.toBe(evaluated[0]);
  });
});

describe("nodes that come and go within a round", () => {
  it("one is gone: what it has moved is lost, and nothing else", async () => {
    const config = globalBatch({ train: { steps: 6 } });
    const nodes = new TrainingNodes(join(folder, "gone"), config, { sync: every(3), minWorld: 2 });
    const [a, b, victim] = [await nodes.add(), await nodes.add(), await nodes.add()];
    const { parameters } = watch(a);
    await until(() => victim.view.steps.has(1));
    await victim.cluster[Symbol.asyncDispose]();
    await Promise.all([a.done, b.done]);
    expect([...a.members.values()].map(({ length }) => length)).toEqual([3, 2, 2, 2, 2, 2]);
    expect(parameters.get(2)).toBe(parameters.get(1));
    expect(new Set(parameters.values()).size).toBe(3);
    await expectAgreed([a, b]);
  });

  it("one comes: it begins where the others have met last", async () => {
    const gate = new Gate();
    const config = globalBatch({ environment: gate.environment, train: { steps: 8 } });
    const nodes = new TrainingNodes(join(folder, "comes"), config, { sync: every(4), minWorld: 2 });
    const [a, b] = [await nodes.add(), await nodes.add()];
    const noted = a.view.step.bind(a.view);
    a.view.step = (step: number, metrics: Metrics): void => {
      noted(step, metrics);
      if (step === 5) gate.close();
    };
    await until(() => a.view.steps.has(5));
    const c = await nodes.add();
    const { parameters } = watch(c);
    await until(() => a.cluster.record.members.length === 3);
    gate.open();
    await Promise.all([a, b, c].map(({ done }) => done));
    expect([...c.members]).toEqual([6, 7, 8].map((step) => [step, ["n0", "n1", "n2"]]));
    expect(parameters.get(7)).toBe(parameters.get(6));
    expect(parameters.get(8)).not.toBe(parameters.get(7));
    await expectAgreed([a, b, c]);
  });

  it.each([
    ["f32", 2],
    ["int8", 2],
    ["f32", 1],
  ] as const)(
    "a step that fails at one of them in %s is made again as if nothing had been: step %i",
    async (wire, at) => {
      const config = globalBatch({ train: { steps: 3 } });
      const nodes = new TrainingNodes(join(folder, `fails-${wire}-${at}`), config, {
        ...{ sync: every(2), wire, minWorld: 2 },
      });
      const [a, b] = [await nodes.add(), await nodes.add()];
      const hashes: [step: number, hash: string][] = [];
      const moved = a.cluster.moved.bind(a.cluster);
      a.cluster.moved = (move, hash): void => {
        hashes.push([move.step, hash]);
        moved(move, hash);
      };
      const isMovedAtA = (): boolean => hashes.some(([step]) => step === at);
      // both have moved the step to its end, and one cannot say so: heard earlier, the other would not get there
      const told = b.cluster.moved.bind(b.cluster);
      let failures = 0;
      b.cluster.moved = (move, hash): void => {
        const what = "the node has lost its voice.";
        const error = new ClusterError({ code: "connection_closed", what });
        if (move.step !== at || failures++ > 0) told(move, hash);
        else void until(isMovedAtA).then(() => b.cluster.failed(move, error));
      };
      await Promise.all([a.done, b.done]);
      await expectAgreed([a, b]);
      expect(hashes.map(([step]) => step)).toEqual(
        [1, 2, 3].flatMap((s) => (s === at ? [s, s] : s)),
      );
      const [first, second] = hashes.filter(([step]) => step === at).map(([, hash]) => hash);
      expect(second).toBe(first);
    },
  );

  it("a checkpoint between two meetings holds what all agree on, and is gone on with", async () => {
    const upTo = (steps: number): TogetherConfig =>
      globalBatch({ train: { steps }, checkpoint: { every: 1, keep: 9 } });
    const place = join(folder, "kept");
    const stop = new AbortController();
    const nodes = new TrainingNodes(place, upTo(9), { sync: every(4), minWorld: 2 });
    const [a, b] = [await nodes.add({ signal: stop.signal }), await nodes.add()];
    const { parameters } = watch(a);
    await until(() => a.view.steps.has(5));
    stop.abort();
    const { directory, steps } = await a.done;
    a.cluster.leave();
    b.cluster.leave();
    expect(steps).toBeGreaterThanOrEqual(5);
    const bytesAt = (step: number, name: string): Buffer =>
      readFileSync(join(directory, "checkpoints", `step-00000${step}`, name));
    for (const name of ["policy.safetensors", "outer.safetensors"]) {
      expect(bytesAt(3, name).equals(bytesAt(1, name))).toBe(true);
      expect(bytesAt(4, name).equals(bytesAt(3, name))).toBe(false);
      expect(bytesAt(5, name).equals(bytesAt(4, name))).toBe(true);
    }
    // presenting it has taken nothing from what the nodes have moved: the moments go on
    expect(bytesAt(2, "optimizer.safetensors").equals(bytesAt(1, "optimizer.safetensors"))).toBe(
      false,
    );
    expect(parameters.get(5)).toBe(parameters.get(4));
    const again = new TrainingNodes(join(folder, "again"), upTo(9), {
      ...{ sync: every(4), minWorld: 2 },
    });
    const from = join(directory, "checkpoints", "step-000005");
    const both = [await again.add({ resume: from }), await again.add()] as const;
    const resumed = watch(both[0]);
    await Promise.all(both.map(({ done }) => done));
    expect([...both[0].hashes.keys()]).toEqual([6, 7, 8, 9]);
    expect(resumed.parameters.get(6)).toBe(parameters.get(5));
    expect(resumed.parameters.get(8)).not.toBe(parameters.get(7));
    await expectAgreed(both);
    // and without the others, by whom the velocity is not asked for
    const { steps: all } = await trainHere(join(folder, "kept", "n0"), upTo(10), {
      resume: directory,
    });
    expect(all).toBe(10);
  });
});

describe("a node that would meet at other steps", () => {
  it.each([
    ["every 3", every(3)],
    ["at another rate", every(2, { outerLr: 1 })],
    ["after each gradient", "zero1"],
  ] as const)("%s is refused, and told what the others do", async (_, sync) => {
    const gate = new Gate();
    const config = globalBatch({ environment: gate.environment, train: { steps: 2 } });
    const place = join(
      folder,
      `other-${typeof sync === "string" ? sync : `${sync.every}-${sync.outerLr}`}`,
    );
    const nodes = new TrainingNodes(place, config, { sync: every(2) });
    gate.close();
    const a = await nodes.add();
    await until(() => a.cluster.record.step === 0);
    const b = await nodes.add({ sync });
    const error = await errorOf(b.done);
    expect(error).toBeInstanceOf(ForgeError);
    expect((error as ForgeError).code).toBe("config_invalid");
    // as its process would
    await b.cluster[Symbol.asyncDispose]();
    expect(error.message).toContain("--sync diloco:2 --outer-lr 0.7 --outer-momentum 0.9");
    gate.open();
    await a.done;
  });
});
