/** The samples of an optimizer step, with a number for each trained token of all that the loss reads. */
import type { ForestBatch, ForestSample } from "../pool/forest-batch.ts";
import { tokenValues } from "../pool/forest-samples.ts";
import { aggregationWeights } from "../rl/aggregation.ts";
import { advantagesOf } from "../rl/algorithm/advantages.ts";
import type { Algorithm } from "../rl/algorithm/algorithm.ts";
import type { EpisodeStep } from "../rl/episode.ts";
import { importanceWeights } from "../rl/importance/index.ts";
import type { RecordedEpisode } from "./episodes.ts";
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
  /** Whether all of it was sampled by the weights that the step begins with. */
  readonly policyVersions: readonly [first: number, last: number];
  /** Under the policy in the first pass; written there. */
  readonly trainerLogprobs: Float64Array;
  readonly entropies: Float64Array;
}

/** Rows of {@link packRows}: those of `policyLoss`, then old values and returns. */
export const ROWS = 7;

/** The samples of episodes that take part, in their order. */
export function prepareSamples(
  episodes: readonly RecordedEpisode[],
  { overlong }: Pick<Algorithm, "overlong">,
): TrainedSample[] {
  return episodes.flatMap((episode, e) => {
    const isMasked = overlong === "mask" && episode.session.status === "truncated";
    if (!episode.takesPart || isMasked) return [];
    return episode.completions.map((completion, request) => {
      const { promptIds, responseIds, behaviorLogprobs } = completion;
      const ids = new Uint32Array(promptIds.length + responseIds.length);
      ids.set(promptIds);
      ids.set(responseIds, promptIds.length);
      const none = new Float64Array(responseIds.length);
      return {
        ids,
        trained: [[promptIds.length, ids.length] as const],
        trajectory: episode.session.sessionId,
        ...{
          episode: e,
          request,
          reward: episode.reward ?? 0,
          weight: 0,
          values: undefined,
          returns: undefined,
        },
        ...{
          rolloutLogprobs: behaviorLogprobs,
          old: behaviorLogprobs,
          reference: behaviorLogprobs,
        },
        ...{ advantages: none, importance: none, policyVersions: completion.policyVersions },
        trainerLogprobs: new Float64Array(responseIds.length),
        entropies: new Float64Array(responseIds.length),
      };
    });
  });
}

/** With what the policy and the reference say before the update, and the advantages that follow. */
export function withTrainerRows(
  samples: readonly TrainedSample[],
  episodes: readonly RecordedEpisode[],
  algorithm: Algorithm,
  passes: {
    readonly own: ForestPassResult | undefined;
    readonly reference: ForestPassResult | undefined;
  },
): TrainedSample[] {
  const rows = samples.map((_, s) => ({
    own: passes.own?.logprobs[s],
    values: passes.own?.values?.[s],
    reference: passes.reference?.logprobs[s],
  }));
  const steps = episodes.map(({ steps }) => [...steps] as EpisodeStep[]);
  samples.forEach(({ episode, request }, s) => {
    const { own, values, reference } = rows[s] as (typeof rows)[number];
    const all = steps[episode] as EpisodeStep[];
    all[request] = {
      ...(all[request] as EpisodeStep),
      ...(own && { oldLogprobs: own }),
      ...(values && { values }),
      ...(reference && { referenceLogprobs: reference }),
    };
  });
  const taking = new Set(samples.map(({ episode }) => episode));
  const { advantages, returns } = advantagesOf(
    algorithm,
    episodes.map(({ group, session, takesPart }, e) => ({
      group,
      task: session.taskId,
      // masked ones have rewards that others are compared with, and no loss of their own
      takesPart: takesPart && (taking.has(e) || algorithm.overlong === "mask"),
      steps: steps[e] as EpisodeStep[],
    })),
  );
  const isTrainers = algorithm.old === "trainer";
  const corrected = correctionOf(samples, rows, algorithm);
  return samples.map((sample, s) => {
    const { own, values, reference } = rows[s] as (typeof rows)[number];
    const old = isTrainers && own ? own : sample.rolloutLogprobs;
    const { episode, request } = sample;
    return {
      ...sample,
      ...{ old, values, reference: reference ?? old },
      advantages: advantages[episode]?.[request] ?? sample.advantages,
      returns: returns?.[episode]?.[request],
      importance: corrected[s] as ArrayLike<number>,
    };
  });
}

function correctionOf(
  samples: readonly TrainedSample[],
  rows: readonly { readonly own: Float64Array | undefined }[],
  { importance, old }: Algorithm,
): readonly ArrayLike<number>[] {
  if (!importance || old !== "trainer")
    return samples.map(({ old: own }) => new Float64Array(own.length).fill(1));
  return importanceWeights(
    importance,
    samples.map(({ rolloutLogprobs }, s) => rows[s]?.own ?? rolloutLogprobs),
    samples.map(({ rolloutLogprobs }) => rolloutLogprobs),
  );
}

/** With the weights that an aggregation over exactly these samples gives. The lists that are written stay the same ones. */
export function withWeights(
  samples: readonly TrainedSample[],
  { aggregation, per }: Pick<Algorithm, "aggregation" | "per">,
): TrainedSample[] {
  const places = new Map<number, number[]>();
  samples.forEach(({ episode }, s) => {
    places.set(episode, [...(places.get(episode) ?? []), s]);
  });
  const counts = [...places.values()].map((own) => own.map((s) => countOf(samples[s])));
  const weights = aggregationWeights(counts, aggregation, per);
  const result = [...samples];
  [...places.values()].forEach((own, e) => {
    own.forEach((s, k) => {
      result[s] = { ...(samples[s] as TrainedSample), weight: weights[e]?.[k] ?? 0 };
    });
  });
  return result;
}

function countOf(sample: TrainedSample | undefined): number {
  return sample?.old.length ?? 0;
}

/** Numbers of the trained tokens of a batch [{@link ROWS}, length], zeros behind them. */
export function packRows(
  batch: ForestBatch,
  samples: readonly TrainedSample[],
  length: number,
): Float32Array {
  const rows = new Float32Array(ROWS * length);
  const put = (row: number, of: (sample: TrainedSample) => ArrayLike<number>): void => {
    const values = tokenValues(batch, samples.map(of));
    rows.set(values, row * length);
  };
  put(0, ({ old }) => old);
  put(1, ({ advantages }) => advantages);
  put(2, ({ weight, old }) => new Float64Array(old.length).fill(weight));
  put(3, ({ importance }) => importance);
  put(4, ({ reference }) => reference);
  put(5, ({ values, old }) => values ?? new Float64Array(old.length));
  put(6, ({ returns, old }) => returns ?? new Float64Array(old.length));
  return rows;
}
