import { describe, expect, it } from "vitest";
import { buildForest } from "../../../src/pool/forest.ts";
import type { Algorithm } from "../../../src/rl/algorithm/algorithm.ts";
import { ALGORITHMS } from "../../../src/rl/algorithm/index.ts";
import type { RecordedEpisode } from "../../../src/train/episode/episodes.ts";
import {
  packRows,
  prepareSamples,
  ROWS,
  type TrainedSample,
  withTrainerRows,
  withWeights,
} from "../../../src/train/learner/trained-samples.ts";
import { eventfulPlays, recorded } from "../../support/recorded-episodes.ts";

const PLAYS = eventfulPlays(40);
/** Log-probs that tell play, turn and token. */
const EPISODES = recorded(PLAYS, (p, t) =>
  Float32Array.from(PLAYS[p]?.turns[t]?.response ?? [], (_, i) => -(p + 1) / 8 - t / 64 - i / 1024),
);

function trained(algorithm: Algorithm, episodes: readonly RecordedEpisode[]): TrainedSample[] {
  const none = { own: undefined, reference: undefined };
  const samples = withTrainerRows(prepareSamples(episodes), episodes, algorithm, none);
  return withWeights(samples, algorithm);
}

const sum = (values: Iterable<number>): number => [...values].reduce((all, x) => all + x, 0);

describe("FEATURE 4: one request is one sample", () => {
  it.each([undefined, 60, 36])(
    "every sampled token is trained once and no token of a prompt, within %s tokens",
    (tokenBudget) => {
      const samples = trained(ALGORITHMS.grpo(), EPISODES);
      const taking = PLAYS.filter(({ takesPart = true }) => takesPart);
      expect(samples).toHaveLength(sum(taking.map(({ turns }) => turns.length)));
      const times = samples.map(({ ids }) => new Array<number>(ids.length).fill(0));
      const { batches } = buildForest(samples, tokenBudget === undefined ? {} : { tokenBudget });
      for (const batch of batches) {
        const rows = packRows(batch, samples, batch.edges.length + 3);
        batch.edges.forEach((edge, m) => {
          const s = batch.offsets.findLastIndex((from) => from <= m);
          const own = times[batch.samples[s] as number] as number[];
          const place = batch.places[edge] as number;
          expect(rows[2 * (batch.edges.length + 3) + m]).toBeGreaterThan(0);
          own[batch.depth[place] as number] = (own[batch.depth[place] as number] as number) + 1;
        });
      }
      samples.forEach(({ episode, request }, s) => {
        const { prompt = [], response = [] } = PLAYS[episode]?.turns[request] ?? {};
        expect(times[s]).toEqual([
          ...Array.from(prompt, () => 0),
          ...Array.from(response, () => 1),
        ]);
      });
    },
  );

  it("is fed what the policy was fed, a rewritten history too", () => {
    const samples = prepareSamples(EPISODES);
    const rewritten = samples.filter(({ episode }) => episode === 2);
    expect(rewritten.map(({ ids }) => [...ids])).toEqual(
      PLAYS[2]?.turns.map(({ prompt, response }) => [
        ...Array.from(prompt),
        ...Array.from(response),
      ]),
    );
    const [, second, third] = rewritten as [TrainedSample, TrainedSample, TrainedSample];
    expect([...third.ids.slice(0, second.ids.length)]).not.toEqual([...second.ids]);
  });
});

describe("weights", () => {
  const tokens = (samples: readonly TrainedSample[]): number =>
    sum(samples.map(({ old }) => old.length));

  it("add up to 1 in a mean over tokens, duplicates counted", () => {
    const samples = trained(ALGORITHMS.cispo(), EPISODES);
    for (const { weight } of samples) expect(weight).toBeCloseTo(1 / tokens(samples), 12);
  });

  it.each(["request", "episode"] as const)("give each %s the same in a mean of means", (per) => {
    const samples = trained(
      ALGORITHMS.grpo({ aggregation: { mode: "seq-mean-token-mean" }, per }),
      EPISODES,
    );
    const unit = ({ episode, request }: TrainedSample): string =>
      per === "episode" ? `${episode}` : `${episode} ${request}`;
    const units = [...new Set(samples.map(unit))];
    for (const name of units) {
      const own = samples.filter((sample) => unit(sample) === name);
      expect(sum(own.map(({ weight, old }) => weight * old.length))).toBeCloseTo(
        1 / units.length,
        12,
      );
    }
  });

  it("are those of a minibatch, whichever episodes it has", () => {
    const all = trained(ALGORITHMS.cispo(), EPISODES);
    const part = withWeights(
      all.filter(({ episode }) => episode % 2 === 1),
      ALGORITHMS.cispo(),
    );
    expect(part[0]?.weight).toBeCloseTo(1 / tokens(part), 12);
    // what is read later is written to the samples of the step
    expect(part[0]?.trainerLogprobs).toBe(
      all.find(({ episode }) => episode === 1)?.trainerLogprobs,
    );
  });
});

describe("rows", () => {
  it("leave out what was cut off and masked, whose reward others are compared with", () => {
    const masked = trained(ALGORITHMS.dapo({ overlong: "mask" }), EPISODES);
    const scored = trained(ALGORITHMS.dapo({ overlong: null }), EPISODES);
    expect(new Set(masked.map(({ episode }) => episode))).toEqual(new Set([0, 1, 2, 3, 4, 6]));
    const advantageOf = (samples: readonly TrainedSample[], episode: number): number =>
      samples.find((sample) => sample.episode === episode)?.advantages[0] as number;
    for (const episode of [4, 6])
      expect(advantageOf(masked, episode)).toBe(advantageOf(scored, episode));
  });

  it("have the trainer's log-probs where the ratio is to them, and corrections between the two", () => {
    const algorithm = ALGORITHMS.grpo({
      old: "trainer",
      importance: { kind: "token-tis", cap: 1.5 },
    });
    const samples = prepareSamples(EPISODES);
    const own = samples.map(({ rolloutLogprobs }, s) =>
      Float64Array.from(rolloutLogprobs, (x) => x + (s === 0 ? 1 : 0.1)),
    );
    const passes = { own: { logprobs: own }, reference: undefined };
    const complete = withTrainerRows(samples, EPISODES, algorithm, passes);
    complete.forEach(({ old, reference, importance, rolloutLogprobs }, s) => {
      expect([old, reference]).toEqual([own[s], own[s]]);
      for (let t = 0; t < rolloutLogprobs.length; t++)
        expect(importance[t]).toBeCloseTo(s === 0 ? 1.5 : Math.exp(0.1), 6);
    });
  });

  it("stand behind each other as the loss and the critic read them, zeros behind them", () => {
    const samples = trained(ALGORITHMS.grpo(), EPISODES).map((sample, s) => ({
      ...sample,
      reference: Array.from(sample.old, () => -s),
      values: Array.from(sample.old, (_, t) => s + t / 8),
      returns: Array.from(sample.old, () => 2 * s),
    }));
    const [batch] = buildForest(samples).batches;
    if (!batch) throw new Error("there is no batch");
    const count = batch.edges.length;
    const rows = packRows(batch, samples, count + 2);
    expect(rows).toHaveLength(ROWS * (count + 2));
    const keys = ["old", "advantages", "weight", "importance", "reference", "values", "returns"];
    keys.forEach((key, r) => {
      const row = [...rows.subarray(r * (count + 2), (r + 1) * (count + 2))];
      const expected = samples.flatMap((sample) => {
        const own = sample[key as "old" | "weight"];
        return Array.from(sample.old, (_, t) =>
          Math.fround(typeof own === "number" ? own : (own[t] as number)),
        );
      });
      expect(row, key).toEqual([...expected, 0, 0]);
    });
  });
});
