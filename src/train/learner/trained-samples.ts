/** The samples of an optimizer step, with a number for each trained token of all that the loss reads. */
import type { ForestBatch, ForestSample } from "../../pool/forest-batch.ts";
import { aggregationWeights } from "../../rl/aggregation.ts";
import { advantagesOf } from "../../rl/algorithm/advantages.ts";
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import type { EpisodeStep } from "../../rl/episode.ts";
import { importanceWeights } from "../../rl/importance/index.ts";
import type { RecordedEpisode } from "../episode/episodes.ts";
import type { ForestPassResult } from "./forest-pass.ts";

/** One request of an episode as a sample. Lists are of its sampled tokens [R]. */
export interface TrainedSample extends ForestSample {
  /** Indices of its episode in the step, and of the request in the episode. */
  readonly episode: number;
  readonly request: number;
  /** Of its episode. */
  readonly reward: number;
  readonly rolloutLogprobs: ArrayLike<number>;
  /** What ratios are taken to. */
  readonly old: ArrayLike<number>;
  readonly reference: ArrayLike<number>;
  readonly advantages: ArrayLike<number>;
  /** Importance corrections. */
  readonly importance: ArrayLike<number>;
  /** Of each of its tokens in the aggregation of its minibatch. */
  readonly weight: number;
  /** With a critic: its values before the update, and what they should have been. */
  readonly values: ArrayLike<number> | undefined;
  readonly returns: ArrayLike<number> | undefined;
  /** Versions of the policy that sampled its first and its last token. */
  readonly policyVersions: readonly [first: number, last: number];
  /** What the policy says of it at its first update; written there. */
  readonly trainerLogprobs: Float64Array;
  readonly entropies: Float64Array;
  /** What the policy says of it at its last update: of the last pass; written there. */
  readonly updatedLogprobs: Float64Array;
}

/** Rows of {@link packRows}: those of `policyLoss`, then old values and returns. */
export const ROWS = 7;

/** The samples of episodes that take part, in their order. */
export function prepareSamples(episodes: readonly RecordedEpisode[]): TrainedSample[] {
  return episodes.flatMap((episode, e) => {
    if (!episode.takesPart) return [];
    return episode.completions.map((completion, request) => {
      const { promptIds, responseIds, behaviorLogprobs } = completion;
      const ids = new Uint32Array(promptIds.length + responseIds.length);
      ids.set(promptIds);
      ids.set(responseIds, promptIds.length);
      const zeros = new Float64Array(responseIds.length);
      return {
        ids,
        trained: [[promptIds.length, ids.length] as const],
        trajectory: episode.session.sessionId,
        ...{ episode: e, request, reward: episode.reward ?? 0, weight: 0 },
        ...{ values: undefined, returns: undefined, advantages: zeros, importance: zeros },
        rolloutLogprobs: behaviorLogprobs,
        old: behaviorLogprobs,
        reference: behaviorLogprobs,
        policyVersions: completion.policyVersions,
        trainerLogprobs: zeros.slice(),
        entropies: zeros.slice(),
        updatedLogprobs: zeros.slice(),
      };
    });
  });
}

/**
 * With what the policy and the reference say before the update, and the advantages that follow. Episodes that were cut off
 * and are masked leave here: their rewards are what others are compared with, and they have no loss of their own.
 */
export function withTrainerRows(
  samples: readonly TrainedSample[],
  episodes: readonly RecordedEpisode[],
  algorithm: Algorithm,
  passes: {
    readonly own: ForestPassResult | undefined;
    readonly reference: ForestPassResult | undefined;
  },
): TrainedSample[] {
  const { advantages, returns } = advantagesOf(
    algorithm,
    withPasses(samples, episodes, passes).map(({ group, session, takesPart, steps }) => {
      return { group, task: session.taskId, takesPart, steps };
    }),
  );
  const complete = samples.map((sample, s): TrainedSample => {
    const { episode, request, rolloutLogprobs } = sample;
    const own = algorithm.old === "trainer" ? passes.own?.logprobs[s] : undefined;
    const old = own ?? rolloutLogprobs;
    return {
      ...sample,
      old,
      reference: passes.reference?.logprobs[s] ?? old,
      advantages: advantages[episode]?.[request] ?? sample.advantages,
      values: passes.own?.values?.[s],
      returns: returns?.[episode]?.[request],
    };
  });
  return withImportance(complete, algorithm).filter(({ episode }) => {
    const isCut = episodes[episode]?.session.status === "truncated";
    return !(isCut && algorithm.overlong === "mask");
  });
}

/** Episodes whose steps know what the passes found. */
function withPasses(
  samples: readonly TrainedSample[],
  episodes: readonly RecordedEpisode[],
  { own, reference }: Parameters<typeof withTrainerRows>[3],
): RecordedEpisode[] {
  const steps = episodes.map((episode) => [...episode.steps]);
  samples.forEach(({ episode, request }, s) => {
    const all = steps[episode] as EpisodeStep[];
    all[request] = {
      ...(all[request] as EpisodeStep),
      ...(own && { oldLogprobs: own.logprobs[s] as Float64Array }),
      ...(own?.values && { values: own.values[s] as Float64Array }),
      ...(reference && { referenceLogprobs: reference.logprobs[s] as Float64Array }),
    };
  });
  return episodes.map((episode, e) => ({ ...episode, steps: steps[e] as EpisodeStep[] }));
}

/** With the correction for what sampled them, sequence by sequence; 1 without one. */
function withImportance(
  samples: readonly TrainedSample[],
  { importance, per }: Pick<Algorithm, "importance" | "per">,
): TrainedSample[] {
  if (!importance) {
    return samples.map((sample) => {
      return { ...sample, importance: new Float64Array(sample.old.length).fill(1) };
    });
  }
  const sequences = sequencesOf(samples, per);
  const joined = (of: (sample: TrainedSample) => ArrayLike<number>): number[][] =>
    sequences.map((own) => own.flatMap((sample) => Array.from(of(sample))));
  const weights = importanceWeights(
    importance,
    joined(({ old }) => old),
    joined(({ rolloutLogprobs }) => rolloutLogprobs),
  );
  return sequences.flatMap((own, i) => {
    let from = 0;
    return own.map((sample) => {
      const start = from;
      from += sample.old.length;
      return { ...sample, importance: (weights[i] as Float64Array).subarray(start, from) };
    });
  });
}

/** Samples that are one sequence: each by itself, or those of an episode, which lie one behind the other. */
export function sequencesOf(
  samples: readonly TrainedSample[],
  per: Algorithm["per"],
): TrainedSample[][] {
  const sequences: TrainedSample[][] = [];
  for (const sample of samples) {
    const last = sequences.at(-1);
    if (per === "episode" && last?.[0]?.episode === sample.episode) last.push(sample);
    else sequences.push([sample]);
  }
  return sequences;
}

/** Where sequences begin among the trained tokens of samples, and where the last one ends. */
export function sequenceOffsets(
  samples: readonly TrainedSample[],
  per: Algorithm["per"],
): Uint32Array {
  const sequences = sequencesOf(samples, per);
  const offsets = new Uint32Array(sequences.length + 1);
  sequences.forEach((own, i) => {
    const tokens = own.reduce((sum, { old }) => sum + old.length, 0);
    offsets[i + 1] = (offsets[i] as number) + tokens;
  });
  return offsets;
}

/** With the weights that an aggregation over exactly these samples gives. The lists that are written stay the same ones. */
export function withWeights(
  samples: readonly TrainedSample[],
  { aggregation, per }: Pick<Algorithm, "aggregation" | "per">,
): TrainedSample[] {
  const places = new Map<number, number[]>();
  samples.forEach(({ episode }, s) => {
    const own = places.get(episode);
    if (own) own.push(s);
    else places.set(episode, [s]);
  });
  const episodes = [...places.values()];
  const counts = episodes.map((own) => own.map((s) => (samples[s] as TrainedSample).old.length));
  const weights = aggregationWeights(counts, aggregation, per);
  const result = [...samples];
  episodes.forEach((own, e) => {
    own.forEach((s, k) => {
      result[s] = { ...(samples[s] as TrainedSample), weight: weights[e]?.[k] ?? 0 };
    });
  });
  return result;
}

/** Numbers of the trained tokens of a batch [{@link ROWS}, length], zeros behind them. */
export function packRows(
  batch: ForestBatch,
  samples: readonly TrainedSample[],
  length: number,
): Float32Array {
  const rows = new Float32Array(ROWS * length);
  batch.samples.forEach((sample, s) => {
    const own = samples[sample] as TrainedSample;
    const { old, advantages, weight, importance, reference, values, returns } = own;
    const [from, to] = [batch.offsets[s] as number, batch.offsets[s + 1] as number];
    [old, advantages, undefined, importance, reference, values, returns].forEach((row, r) => {
      if (row) rows.set(row, r * length + from);
    });
    rows.fill(weight, 2 * length + from, 2 * length + to);
  });
  return rows;
}
