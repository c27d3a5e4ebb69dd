import { describe, expect, it } from "vitest";
import { EpisodeStatistics } from "../../../src/control/episode-statistics.ts";
import { playEpisodes } from "../../../src/control/evaluate.ts";
import { collectRollout, rolloutAdvantages } from "../../../src/control/rollout.ts";
import { expectClose } from "../../support/gpu.ts";
import { type Script, scriptedEnvironment } from "../../support/scripted-environment.ts";

const SCRIPTS: readonly (readonly Script[])[] = [
  [
    { rewards: [1, 2], end: "terminated" },
    { rewards: [4, 8, 16], end: "truncated" },
  ],
  [
    { rewards: [3], end: "both" },
    { rewards: [5, 7, 9, 11, 13, 15], end: "terminated" },
  ],
];
const NUM_STEPS = 5;

async function rollout() {
  const environment = scriptedEnvironment(SCRIPTS);
  const statistics = new EpisodeStatistics(2);
  const seen: number[][] = [];
  const collected = await collectRollout({
    ...{ environment, numSteps: NUM_STEPS, statistics, observations: environment.reset(0) },
    act: async (observations, t) => {
      seen.push([...observations]);
      return [t % 2, 1];
    },
  });
  return { collected, statistics, seen };
}

describe("collectRollout", () => {
  it("keeps what was acted on, what was done, what came of it, and what is next", async () => {
    const { collected, seen } = await rollout();
    const { observations, actions, rewards, ends } = collected;
    expect(seen).toEqual([
      [0, 0, 0, 1, 0, 0],
      [0, 0, 1, 1, 1, 0],
      [0, 1, 0, 1, 1, 1],
      [0, 1, 1, 1, 1, 2],
      [0, 1, 2, 1, 1, 3],
    ]);
    expect([...observations]).toEqual([...seen.flat(), 0, 2, 0, 1, 1, 4]);
    expect([...actions]).toEqual([0, 1, 1, 1, 0, 1, 1, 1, 0, 1]);
    expect([...rewards]).toEqual([1, 3, 2, 5, 4, 7, 8, 9, 16, 11]);
    expect(ends.map(Number)).toEqual([0, 1, 1, 0, 0, 0, 0, 0, 1, 0]);
  });

  it("keeps where an episode was cut off, unless it terminated too", async () => {
    const { collected } = await rollout();
    expect([...collected.cutOff]).toEqual([[8, Float32Array.of(0, 1, 3)]]);
  });

  it("tells the statistics of every step", async () => {
    const { statistics } = await rollout();
    expect(statistics.take()).toEqual([
      { environment: 1, return: 3, length: 1 },
      { environment: 0, return: 3, length: 2 },
      { environment: 0, return: 28, length: 3 },
    ]);
    expect(statistics.take()).toEqual([]);
    expect(statistics.save()).toEqual({ returns: [0, 32], lengths: [0, 4] });
  });
});

describe("rolloutAdvantages", () => {
  const [gamma, gaeLambda] = [0.9, 0.7];
  const values = Float32Array.from({ length: (NUM_STEPS + 1) * 2 }, (_, i) => 0.5 * i - 2);

  /** Σ (γλ)^k δ over the rest of the episode: the definition, not the recursion. */
  function byDefinition(
    { rewards, ends }: { rewards: ArrayLike<number>; ends: readonly boolean[] },
    expected: ReadonlyMap<number, number>,
  ): number[] {
    return Array.from(rewards, (_, row) => {
      let [sum, factor] = [0, 1];
      for (let i = row; i < rewards.length; i += 2) {
        const next = ends[i] ? (expected.get(i) ?? 0) : Number(values[i + 2]);
        sum += factor * (Number(rewards[i]) + gamma * next - Number(values[i]));
        factor *= gamma * gaeLambda;
        if (ends[i]) break;
      }
      return sum;
    });
  }

  it.each([
    ["with the value of where an episode was cut off", new Map([[8, 6.5]])],
    ["as if it had terminated there", new Map()],
  ])("sums up what follows, %s", async (_, cutOffValues: Map<number, number>) => {
    const { collected } = await rollout();
    const result = rolloutAdvantages(collected, values, { gamma, gaeLambda, cutOffValues });
    const expected = byDefinition(collected, cutOffValues);
    expectClose(result.advantages, expected, { abs: 1e-12, rel: 0 }, "advantages");
    const returns = expected.map((a, i) => a + Number(values[i]));
    expectClose(result.returns, returns, { abs: 1e-12, rel: 0 }, "returns");
  });
});

describe("playEpisodes", () => {
  it("gives each environment its share, so that short episodes do not count too often", async () => {
    const played = await playEpisodes({
      ...{ environment: scriptedEnvironment(SCRIPTS), episodes: 5, seed: 0 },
      act: async () => [0, 1],
    });
    const lengths = (n: number) => played.filter((e) => e.environment === n).map((e) => e.length);
    expect([lengths(0), lengths(1)]).toEqual([
      [2, 3],
      [1, 6, 1],
    ]);
  });

  it("plays fewer episodes than there are environments", async () => {
    const played = await playEpisodes({
      ...{ environment: scriptedEnvironment(SCRIPTS), episodes: 1, seed: 0 },
      act: async () => [0, 0],
    });
    expect(played).toEqual([{ environment: 1, return: 3, length: 1 }]);
  });
});
