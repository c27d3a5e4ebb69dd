/** Episodes for tests of algorithms. */
import type { Advantages, Episode, EpisodeStep } from "../../src/rl/episode.ts";
import type { GroupId } from "../../src/rl/groups.ts";
import type { GoldenInputs } from "./golden-rl.ts";

/** A step of `tokens` equal tokens. */
export function step(tokens: number, reward: number, more: Partial<EpisodeStep> = {}): EpisodeStep {
  return { tokens, reward, rolloutLogprobs: new Float64Array(tokens).fill(-1), ...more };
}

export function episode(group: GroupId, steps: readonly EpisodeStep[], takesPart = true): Episode {
  return { group, takesPart, steps };
}

/** The tokens of a golden row that its mask counts. */
export function sampled(row: ArrayLike<number>, mask: ArrayLike<number>): number[] {
  return Array.from(row).filter((_, t) => mask[t] === 1);
}

/** The golden samples: a hole in the mask is a tool's answer between two steps. Rewards stand on the last step. */
export function goldenEpisodes(inputs: GoldenInputs): Episode[] {
  return inputs.mask.map((mask, i) => {
    const rows = runs(mask).map((at) => {
      const pick = (row: ArrayLike<number> | undefined) => at.map((t) => Number(row?.[t]));
      return {
        ...{ tokens: at.length, rolloutLogprobs: pick(inputs.logp_rollout[i]) },
        ...{ oldLogprobs: pick(inputs.logp_old[i]), values: pick(inputs.values_old[i]) },
        referenceLogprobs: pick(inputs.logp_ref[i]),
      };
    });
    const reward = Number(inputs.reward[i]);
    return episode(
      Number(inputs.group[i]),
      rows.map((row, k) => ({ ...row, reward: k === rows.length - 1 ? reward : 0 })),
    );
  });
}

/** All numbers in a row, by episode. */
export function rowsOf(values: Advantages["advantages"]): number[][] {
  return values.map((steps) => steps.flatMap((row) => Array.from(row)));
}

/** Positions of each unbroken run of ones. */
function runs(mask: ArrayLike<number>): number[][] {
  const found: number[][] = [];
  for (let t = 0; t < mask.length; t++) {
    if (mask[t] !== 1) continue;
    if (t > 0 && mask[t - 1] === 1) found.at(-1)?.push(t);
    else found.push([t]);
  }
  return found;
}
