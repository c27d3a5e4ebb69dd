/** The advantages of an optimizer step, under any algorithm. */
import { ForgeError } from "../../../engine/error.ts";
import { checkParent } from "../chains.ts";
import type { Advantages, Episode, EpisodeStep } from "../episode.ts";
import type { KlEstimator } from "../kl.ts";
import { klInReward } from "../reward/kl-in-reward.ts";
import { checkFinite, checkSameLength, checkSameShape, finite, type Row } from "../rows.ts";
import { broadcast } from "./adapters.ts";
import type { Algorithm, KlTerm } from "./algorithm.ts";

/**
 * What an algorithm gives for the episodes of an optimizer step, with its price for leaving the reference, if that is paid
 * in the reward. Whatever the function says, episodes that take no part get zeros; advantages of the others are multiplied by
 * the weights of their steps.
 *
 * The price of a token is β·k(logπ_old − logπ_ref), π_old being the rollout's policy where there is no other.
 *
 * @throws ForgeError `shape_mismatch` for rows that do not have one number per token, in the episodes or in what the
 *   algorithm's function gave; `non_finite`; `argument_invalid` where values or the reference's log-probabilities are needed
 *   and absent
 */
export function advantagesOf(
  algorithm: Pick<Algorithm, "name" | "advantage" | "kl">,
  episodes: readonly Episode[],
): Advantages {
  const { name, advantage, kl } = algorithm;
  for (const [i, episode] of episodes.entries()) checkEpisode(`${name}: episode ${i}`, episode);
  const rewarded = kl?.in === "reward" ? episodes.map((e) => priced(e, kl)) : episodes;
  const { advantages, returns } = advantage(rewarded);
  const own = checked(`${name}: advantages`, advantages, episodes);
  const result = { advantages: episodes.map((episode, i) => weighted(own[i] ?? [], episode)) };
  return returns ? { ...result, returns: checked(`${name}: returns`, returns, episodes) } : result;
}

/** The episode with the price of each token among its rewards. */
function priced(episode: Episode, kl: KlTerm): Episode {
  const { steps, takesPart } = episode;
  if (!takesPart) return episode;
  const ones = steps.map(({ tokens }) => new Float64Array(tokens).fill(1));
  const paid = klInReward(
    {
      rewards: steps.map((step) => step.tokenRewards ?? new Float64Array(step.tokens)),
      logprobs: steps.map((step) => step.oldLogprobs ?? step.rolloutLogprobs),
      reference: steps.map(referenceOf),
      mask: ones,
    },
    { coefficient: kl.coefficient, estimator: kl.kind as KlEstimator },
  );
  return { ...episode, steps: steps.map((step, t) => ({ ...step, tokenRewards: paid[t] as Row })) };
}

function referenceOf({ referenceLogprobs }: EpisodeStep): Row {
  if (referenceLogprobs) return referenceLogprobs;
  throw new ForgeError({
    code: "argument_invalid",
    what: "kl in reward: a step has no log-probabilities under the reference",
    fix: "give referenceLogprobs [tokens] with every step, or take an algorithm without kl",
  });
}

function checkEpisode(what: string, { steps }: Episode): void {
  for (const [t, step] of steps.entries()) {
    finite(`${what}: reward of step ${t}`, step.reward);
    finite(`${what}: shared reward of step ${t}`, step.shared ?? 0);
    finite(`${what}: weight of step ${t}`, step.weight ?? 1);
    checkParent(`${what}: steps`, step.parent ?? null, t);
    const { rolloutLogprobs, oldLogprobs, referenceLogprobs, values, tokenRewards } = step;
    const rows = { rolloutLogprobs, oldLogprobs, referenceLogprobs, values, tokenRewards };
    for (const [name, row] of Object.entries(rows)) {
      if (!row) continue;
      checkSameShape(`${what}, step ${t}`, { tokens: [{ length: step.tokens }], [name]: [row] });
      checkFinite(`${what}, step ${t}: ${name}`, [row]);
    }
  }
}

/** Advantages of an episode, times the weights of its steps. */
function weighted(rows: readonly Row[], { steps }: Episode): readonly Row[] {
  return rows.map((row, t) => {
    const weight = steps[t]?.weight ?? 1;
    return weight === 1 ? row : Float64Array.from(row, (advantage) => weight * advantage);
  });
}

function checked(
  what: string,
  rows: readonly (readonly Row[])[],
  episodes: readonly Episode[],
): readonly (readonly Row[])[] {
  checkSameLength(what, { episodes, result: rows });
  return episodes.map((episode, i) => {
    const own = rows[i] as readonly Row[];
    const tokens = episode.steps.map((step) => ({ length: step.tokens }));
    checkSameShape(`${what} of episode ${i}`, { tokens, result: own });
    checkFinite(`${what} of episode ${i}`, own);
    return episode.takesPart ? own : broadcast(null, episode);
  });
}
