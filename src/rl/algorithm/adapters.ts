/** From advantages of rewards to advantages of episodes. */
import { ForgeError } from "../../../engine/error.ts";
import { stepChains } from "../chains.ts";
import type { AdvantageFunction, Episode, EpisodeStep } from "../episode.ts";
import type { GroupId, Reward } from "../groups.ts";
import type { Row, Rows } from "../rows.ts";

/** The step's reward and those of its tokens. */
export function stepReward({ reward, tokenRewards }: EpisodeStep): number {
  return tokenRewards ? Array.from(tokenRewards).reduce((sum, r) => sum + r, reward) : reward;
}

/**
 * [steps] Rewards of steps; of an episode with several chains what each step earned by itself, as the rest stands in its
 * `Chains`. `null` for an episode that takes no part.
 */
export function stepRewards(episode: Episode): number[] | null {
  const { takesPart, steps } = episode;
  if (!takesPart) return null;
  const isLine = stepChains(episode) === undefined;
  return steps.map((step) => stepReward(step) - (isLine ? 0 : (step.shared ?? 0)));
}

/** Σ over the steps; `null` for an episode that takes no part. */
export function episodeReward({ takesPart, steps }: Episode): Reward {
  return takesPart ? steps.reduce((sum, step) => sum + stepReward(step), 0) : null;
}

/**
 * [tokens of the episode] Rewards of tokens, with that of each step on its last token. A step that sampled nothing pays the
 * token before it; before the first token there is nobody to pay. Several chains: what was earned by itself, as in
 * {@link stepRewards}.
 */
export function tokenRewards(episode: Episode): Float64Array {
  const { steps } = episode;
  const isLine = stepChains(episode) === undefined;
  const rewards = new Float64Array(tokenCount(steps));
  let end = 0;
  for (const { tokens, reward, shared = 0, tokenRewards: own } of steps) {
    if (own) rewards.set(Array.from(own), end);
    end += tokens;
    if (end > 0) rewards[end - 1] = Number(rewards[end - 1]) + reward - (isLine ? 0 : shared);
  }
  return rewards;
}

/** [tokens of the episode] 1: all were sampled. */
export function tokenMask({ steps }: Episode): Float64Array {
  return new Float64Array(tokenCount(steps)).fill(1);
}

/**
 * [tokens of the episode] V of the state of each token.
 *
 * @throws ForgeError `argument_invalid` for a step without values
 */
export function tokenValues({ steps }: Episode): Float64Array {
  const rows = steps.map(({ values }) => {
    if (values) return Array.from(values);
    throw new ForgeError({
      code: "argument_invalid",
      what: "advantages: a step has no values",
      why: "this algorithm measures rewards against those that its critic expects",
      fix: "give values [tokens] with every step, or take an algorithm without a critic",
    });
  });
  return Float64Array.from(rows.flat());
}

/** A row of an episode's tokens as [steps][tokens]. */
export function bySteps(row: Row, { steps }: Episode): Float64Array[] {
  const tokens = Float64Array.from(row);
  let end = 0;
  return steps.map((step) => {
    end += step.tokens;
    return tokens.subarray(end - step.tokens, end);
  });
}

/** Gives every token of a step the step's number; 0 for an episode without numbers. */
export function broadcast(numbers: Row | null, { steps }: Episode): Float64Array[] {
  return steps.map(({ tokens }, t) => new Float64Array(tokens).fill(Number(numbers?.[t] ?? 0)));
}

/** An advantage of whole episodes, on every token. `of` gets `null` for episodes that take no part, and gives them 0. */
export function perEpisode(
  of: (rewards: readonly Reward[], groups: readonly GroupId[]) => ArrayLike<number>,
): AdvantageFunction {
  return (episodes) => {
    const groups = episodes.map(({ group }) => group);
    const values = of(episodes.map(episodeReward), groups);
    return {
      advantages: episodes.map((episode, i) =>
        broadcast(new Float64Array(episode.steps.length).fill(Number(values[i])), episode),
      ),
    };
  };
}

/** An advantage of single tokens. `of` sees the episodes that take part, and gives a row of tokens for each. */
export function perToken(
  of: (episodes: readonly Episode[]) => { readonly advantages: Rows; readonly returns?: Rows },
): AdvantageFunction {
  return (episodes) => {
    const { advantages, returns } = of(episodes.filter(({ takesPart }) => takesPart));
    const everyone = (rows: Rows): Float64Array[][] => {
      const left = rows.values();
      return episodes.map((episode) =>
        episode.takesPart ? bySteps(left.next().value ?? [], episode) : broadcast(null, episode),
      );
    };
    const result = { advantages: everyone(advantages) };
    return returns ? { ...result, returns: everyone(returns) } : result;
  };
}

function tokenCount(steps: readonly EpisodeStep[]): number {
  return steps.reduce((sum, { tokens }) => sum + tokens, 0);
}
