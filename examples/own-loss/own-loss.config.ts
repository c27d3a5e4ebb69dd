/** An advantage and a loss of one's own, in the place of an algorithm's name. */
import { defineAlgorithm, defineConfig, perEpisode, where } from "forge-gpu";

const rankedTopr = defineAlgorithm({
  name: "ranked-topr",
  /** Share of the other episodes of its group that an episode beats, less the share that beat it. */
  advantage: perEpisode((rewards, groups) =>
    rewards.map((own, i) => {
      const isOther = (r: number | null, j: number): r is number =>
        r !== null && j !== i && groups[j] === groups[i];
      const others = rewards.filter(isOther);
      if (own === null || others.length === 0) return 0;
      return others.reduce((sum, r) => sum + Math.sign(own - r), 0) / others.length;
    }),
  ),
  /** TOPR (arXiv:2503.14286), token by token: what was good is learned at full weight, what was bad at min(ratio, 1). */
  loss: ({ logprobs, old, advantage, weight }) => {
    const ratio = logprobs.sub(old).exp().stopGradient();
    const taper = where(advantage.greater(0), 1, ratio.minimum(1));
    return taper.mul(advantage).mul(logprobs).mul(weight).sum().neg();
  },
  /** For `losses/clip_fraction`: where the ratio was cut. */
  isClipped: (ratio, advantage) => advantage < 0 && ratio > 1,
  // the second update of a step and those after it are off-policy: without them every ratio is 1
  minibatches: 4,
});

export default defineConfig({
  name: "own-loss",
  environment: "../reverse-text/environment.ts",
  seed: 1,
  model: {
    create: {
      ...{ layers: 2, width: 64, heads: 4, maxLength: 16 },
      tokenizer: { kind: "characters", alphabet: "abcdefghijklmnopqrstuvwxyz>" },
    },
  },
  algorithm: rankedTopr,
  reward: { speed: 0, truncated: "score" },
  rollout: { groupSize: 16, groupsPerStep: 16, slots: 16, batch: 256 },
  optimizer: { lr: 1e-3, warmupSteps: 10, schedule: "linear" },
  train: {
    ...{ steps: 100, tokenBudget: 4096 },
    warmStart: { steps: 600, batch: 32, lr: 3e-3, lossTarget: 0.6 },
  },
  eval: { every: 50, samples: 4, temperature: 1 },
  checkpoint: { every: 50 },
});
