import { describe, expect, it } from "vitest";
import { cartPole } from "../../../src/control/cart-pole.ts";
import { ControlPpo, type ControlPpoOptions } from "../../../src/control/control-ppo.ts";
import type { EpisodeRecord } from "../../../src/control/episode-statistics.ts";
import type { VectorEnvironment } from "../../../src/control/vector-environment.ts";
import { device } from "../../support/gpu.ts";

/** A run of 6 updates, with two minibatches and all that CleanRL turns on, and episodes that are cut off early. */
async function trainer(options: Partial<ControlPpoOptions> = {}): Promise<ControlPpo> {
  return new ControlPpo({
    ...{ device: await device(), environment: cartPole({ numEnvs: 4, maxEpisodeSteps: 12 }) },
    ...{ totalTimesteps: 6 * 64, numSteps: 16, numMinibatches: 2, updateEpochs: 2, seed: 9 },
    ...{ learningRate: 3e-3, hiddenSizes: [16], annealClip: true },
    ...options,
  });
}

/** What does not depend on the clock. */
function timeless(metrics: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith("time/")));
}

async function rest(ppo: ControlPpo): Promise<Record<string, number>[]> {
  const all: Record<string, number>[] = [];
  while (!ppo.isDone) all.push(timeless(await ppo.update()));
  return all;
}

const mean = (episodes: readonly EpisodeRecord[]): number =>
  episodes.reduce((sum, episode) => sum + episode.return, 0) / episodes.length;

describe("ControlPpo", () => {
  it("goes on from a saved state bit for bit, also after evaluating and updating beyond it", async () => {
    using whole = await trainer();
    using resumed = await trainer();
    for (let n = 0; n < 3; n++) await whole.update();
    const state = structuredClone(await whole.save());
    await whole.evaluate(cartPole({ numEnvs: 2 }), { episodes: 2 });
    const expected = await rest(whole);
    expect(expected).toHaveLength(3);

    await resumed.update(); // it was somewhere else
    resumed.restore(state);
    expect(resumed.globalStep).toBe(3 * 64);
    expect(await rest(resumed)).toEqual(expected);
    expect(await resumed.save()).toEqual(await whole.save());
  });

  it("reports finite metrics, a rate that falls, and the episodes that ended", async () => {
    using ppo = await trainer();
    const all = await rest(ppo);
    expect(all.map((metrics) => metrics["charts/learning_rate"])).toEqual(
      [6, 5, 4, 3, 2, 1].map((left) => 3e-3 * (1 - (6 - left) / 6)),
    );
    for (const metrics of all) {
      expect(Object.values(metrics).every(Number.isFinite)).toBe(true);
      expect(metrics["charts/episodic_length"]).toBeGreaterThan(7);
      expect(metrics["charts/episodic_length"]).toBeLessThanOrEqual(12);
      expect(metrics["charts/episodic_return"]).toBe(metrics["charts/episodic_length"]);
      expect(metrics["losses/entropy"]).toBeLessThanOrEqual(Math.fround(Math.LN2) + 1e-6);
      expect(metrics["losses/explained_variance"]).toBeLessThanOrEqual(1);
    }
    await expect(ppo.update()).rejects.toMatchObject({ code: "state_conflict" });
  });

  it("bootstraps where episodes are cut off, unless told otherwise", async () => {
    using bootstrapped = await trainer();
    using ended = await trainer({ bootstrapTruncated: false });
    const [first, second] = [await bootstrapped.update(), await ended.update()];
    expect(first["charts/episodic_return"]).toBe(second["charts/episodic_return"]);
    expect(first["losses/value_loss"]).not.toBe(second["losses/value_loss"]);
  });

  it("stops its epochs over the target KL", async () => {
    using free = await trainer({ updateEpochs: 3 });
    using held = await trainer({ updateEpochs: 3, targetKl: 1e-9 });
    await Promise.all([free.update(), held.update()]);
    const steps = [free, held].map(async (ppo) => (await ppo.save()).optimizer.stepCount);
    expect(await Promise.all(steps)).toEqual([6, 2]);
  });

  it("evaluates by the most probable action or by drawing, the same with one seed", async () => {
    using ppo = await trainer();
    const play = (isGreedy: boolean, seed: number) =>
      ppo.evaluate(cartPole({ numEnvs: 4 }), { episodes: 8, isGreedy, seed });
    const greedy = await play(true, 1);
    expect(greedy).toHaveLength(8);
    expect(await play(true, 1)).toEqual(greedy);
    expect(await play(false, 1)).toEqual(await play(false, 1));
    expect(await play(false, 1)).not.toEqual(await play(false, 2));
    expect(await play(false, 1)).not.toEqual(greedy);
  });

  it("refuses what would spoil a run, and changes nothing by that", async () => {
    const environment = cartPole({ numEnvs: 4 });
    using ppo = await trainer({ environment });
    await expect(ppo.evaluate(environment)).rejects.toMatchObject({ code: "argument_invalid" });
    for (const options of [{ episodes: 0 }, { episodes: Number.NaN }, { seed: 0.5 }]) {
      const refused = ppo.evaluate(cartPole(), options);
      await expect(refused).rejects.toMatchObject({ code: "argument_invalid" });
    }
    const update = ppo.update();
    await expect(ppo.update()).rejects.toMatchObject({ code: "state_conflict" });
    await expect(ppo.save()).rejects.toMatchObject({ code: "state_conflict" });
    await expect(ppo.evaluate(cartPole())).rejects.toMatchObject({ code: "state_conflict" });
    await update;

    const state = await ppo.save();
    const refusal = (change: object, code: string): void =>
      expect(() => ppo.restore({ ...state, ...change })).toThrowError(
        expect.objectContaining({ code }),
      );
    refusal({ seed: 8 }, "argument_invalid");
    refusal({ observations: state.observations.slice(4) }, "shape_mismatch");
    refusal({ parameters: {} }, "argument_invalid");
    refusal(
      { parameters: { ...state.parameters, "actor.0.bias": new Float32Array(3) } },
      "shape_mismatch",
    );
    refusal({ optimizer: { ...state.optimizer, kind: "sgd" } }, "argument_invalid");
    expect(await ppo.save()).toEqual(state);
  });

  it("learns: 195 steps of CartPole-v1, the bar of its first version, in less than 40,000", async () => {
    const make = (numEnvs: number): VectorEnvironment => cartPole({ numEnvs });
    using ppo = new ControlPpo({
      ...{ device: await device(), environment: make(8), totalTimesteps: 200_000, seed: 1 },
      ...{ numSteps: 32, numMinibatches: 1, updateEpochs: 20, gamma: 0.98, gaeLambda: 0.8 },
      ...{ learningRate: 1e-3, annealClip: true, clipVloss: false, entCoef: 0 },
    });
    const evaluate = async () => mean(await ppo.evaluate(make(20), { episodes: 20 }));
    let reached = await evaluate();
    expect(reached).toBeLessThan(100);
    while (reached < 195 && ppo.globalStep < 40_000) {
      for (let n = 0; n < 16; n++) await ppo.update();
      reached = await evaluate();
    }
    expect(reached).toBeGreaterThanOrEqual(195);
  });
});
