/**
 * Every metric that forge-gpu writes: what it means, in what unit, and how a terminal calls it. `docs/metrics.md` is made of
 * this table.
 *
 * The names before the first slash are CleanRL's (`losses`, `charts`) where it has one, so that curves compare.
 */

/** How a figure is written for people. */
export type FigureFormat = "number" | "share" | "scientific";

/** A metric. */
export interface MetricEntry {
  /** One line, without an end. */
  readonly meaning: string;
  /** `1` for a plain number. */
  readonly unit: string;
  /** Name of the same figure in TRL, verl or CleanRL, where it differs. */
  readonly elsewhere?: string;
  /** The word for it in a terminal; those without one are not shown there. */
  readonly label?: string;
  /** Default number. */
  readonly format?: FigureFormat;
}

/** The metrics by name, in the order in which the documentation lists them. `<…>` stands for a name or number. */
export const METRICS: Readonly<Record<string, MetricEntry>> = {
  "reward/mean": {
    meaning: "mean reward of the episodes trained on",
    unit: "reward",
    elsewhere: "TRL `reward`, verl `critic/rewards/mean`",
    label: "reward",
  },
  "reward/std": {
    meaning: "deviation of these rewards",
    unit: "reward",
    elsewhere: "TRL `reward_std`",
  },
  "reward/min": { meaning: "the least of them", unit: "reward" },
  "reward/max": { meaning: "the greatest of them", unit: "reward" },
  "reward/<component>": {
    meaning:
      "mean of one reward component, unweighted, over the episodes to which it applies; of a mix of environments `<domain>/<name>`, and `<domain>/success_rate`",
    unit: "reward",
    elsewhere: "TRL `rewards/<name>/mean`",
  },
  "rollout/success_rate": {
    meaning: "share of the episodes that count as solved",
    unit: "share",
    label: "success",
    format: "share",
  },
  "rollout/groups": { meaning: "groups trained on", unit: "groups" },
  "rollout/zero_variance_groups": {
    meaning:
      "groups whose episodes all got the same reward, and teach nothing under a group baseline",
    unit: "groups",
    elsewhere: "TRL `frac_reward_zero_std`, as a share",
  },
  "rollout/dropped_groups": {
    meaning: "groups that dynamic sampling threw away before the step had enough",
    unit: "groups",
  },
  "rollout/failed_groups": {
    meaning: "groups given up, by errors or because their time was over",
    unit: "groups",
  },
  "rollout/forks": {
    meaning:
      "requests of agents that had asked before which do not go on with a history as it was sampled: their context was rewritten",
    unit: "requests",
  },
  "rollout/requests_mean": {
    meaning: "requests to the policy in an episode, mean",
    unit: "requests",
    elsewhere: "verl `num_turns/mean`",
  },
  "rollout/response_length_mean": {
    meaning: "tokens that the policy sampled in an episode, mean",
    unit: "tokens",
    elsewhere: "TRL `completions/mean_length`, verl `response_length/mean`",
  },
  "rollout/response_length_max": {
    meaning: "the same of the longest episode",
    unit: "tokens",
    elsewhere: "TRL `completions/max_length`, verl `response_length/max`",
  },
  "rollout/truncated_rate": {
    meaning: "share of the episodes that ended at a limit of tokens or turns",
    unit: "share",
    elsewhere: "TRL `completions/clipped_ratio`, verl `response_length/clip_ratio`",
  },
  "rollout/error_rate": {
    meaning:
      "share of the episodes that ended by an error of the agent, a tool or the machine; they have no reward",
    unit: "share",
  },
  "tools/calls_mean": {
    meaning: "calls of tools in an episode, mean, malformed ones too",
    unit: "calls",
  },
  "tools/error_rate": {
    meaning: "share of the calls whose tool threw or took longer than it may",
    unit: "share",
  },
  "tools/malformed_rate": {
    meaning:
      "share of the calls that are no call, name no tool that there is, or fit no schema: what the policy has yet to learn",
    unit: "share",
  },
  "tools/timeouts": { meaning: "calls that took longer than they may", unit: "calls" },
  "eval/pass_at_1": {
    meaning: "share of the held-out tasks that one attempt solves",
    unit: "share",
    label: "eval pass@1",
    format: "share",
  },
  "eval/pass_at_<k>": {
    meaning: "share of the held-out tasks that one of k attempts solves",
    unit: "share",
  },
  "eval/reward_mean": { meaning: "mean reward on the held-out tasks", unit: "reward" },
  "eval/reward/<component>": {
    meaning: "mean of one reward component on the held-out tasks",
    unit: "reward",
  },
  "eval/success_rate": {
    meaning: "share of the attempts at held-out tasks that count as solved",
    unit: "share",
  },
  "eval/response_length_mean": {
    meaning: "tokens that the policy sampled in an attempt, mean",
    unit: "tokens",
  },
  "eval/truncated": {
    meaning: "share of the attempts that ended at a limit of tokens or turns",
    unit: "share",
  },
  "eval/loss": {
    meaning: "loss of what was kept from training, for sft in nats a token",
    unit: "1",
    elsewhere: "TRL `eval_loss`",
    label: "eval loss",
  },
  "eval/margin": { meaning: "the same as dpo/margin, of pairs kept from training", unit: "reward" },
  "eval/accuracy": {
    meaning: "the same as dpo/accuracy, of pairs kept from training",
    unit: "share",
    label: "eval accuracy",
    format: "share",
  },
  "losses/loss": {
    meaning:
      "what the optimizer minimised: all terms with their coefficients, for sft in nats a token",
    unit: "1",
    label: "loss",
  },
  "losses/policy_loss": {
    meaning: "loss of the policy without KL and entropy",
    unit: "1",
    elsewhere: "verl `actor/pg_loss`",
  },
  "losses/value_loss": {
    meaning: "loss of the critic before its coefficient",
    unit: "reward²",
    elsewhere: "verl `critic/vf_loss`",
  },
  "losses/kl": {
    meaning: "KL to the reference policy as the loss estimates it, before its coefficient",
    unit: "nats a token",
    elsewhere: "TRL `kl`, verl `actor/kl_loss`",
  },
  "losses/entropy": {
    meaning: "mean entropy of the policy at sampled tokens",
    unit: "nats",
    elsewhere: "verl `actor/entropy`",
    label: "entropy",
  },
  "losses/approx_kl": {
    meaning:
      "KL between the policy before the step and the one at the last pass, estimated by (ratio − 1) − log ratio",
    unit: "nats a token",
  },
  "losses/old_approx_kl": {
    meaning: "the same by −log ratio: unbiased, and may be negative",
    unit: "nats a token",
    elsewhere: "verl `actor/ppo_kl`",
  },
  "losses/clip_fraction": {
    meaning: "share of the tokens whose ratio the loss held back",
    unit: "share",
    elsewhere: "CleanRL `losses/clipfrac`, TRL `clip_ratio/region_mean`, verl `actor/pg_clipfrac`",
  },
  "losses/grad_norm": {
    meaning: "norm of the gradient before it was clipped",
    unit: "1",
    elsewhere: "TRL `grad_norm`, verl `actor/grad_norm`",
    label: "grad norm",
  },
  "losses/explained_variance": {
    meaning: "1 − Var(return − value) / Var(return): 1 is a perfect critic, 0 a constant",
    unit: "share",
    elsewhere: "verl `critic/vf_explained_var`",
  },
  "dpo/chosen_reward": {
    meaning: "β times the log-ratio of the preferred responses to the reference, mean over pairs",
    unit: "reward",
    elsewhere: "TRL `rewards/chosen`",
  },
  "dpo/rejected_reward": {
    meaning: "the same of the other responses",
    unit: "reward",
    elsewhere: "TRL `rewards/rejected`",
  },
  "dpo/margin": {
    meaning: "the first less the second",
    unit: "reward",
    elsewhere: "TRL `rewards/margins`",
    label: "margin",
  },
  "dpo/accuracy": {
    meaning: "share of the pairs whose preferred response has the higher reward",
    unit: "share",
    elsewhere: "TRL `rewards/accuracies`",
    label: "accuracy",
    format: "share",
  },
  "ratio/mean": {
    meaning: "mean ratio of the policy to the one before the update",
    unit: "1",
  },
  "ratio/std": { meaning: "its deviation", unit: "1" },
  "ratio/min": { meaning: "the least", unit: "1" },
  "ratio/max": { meaning: "the greatest", unit: "1" },
  "regime/positive_up": {
    meaning: "share of the tokens with positive advantage that became likelier",
    unit: "share",
  },
  "regime/positive_down": {
    meaning: "share of the tokens with positive advantage that became less likely",
    unit: "share",
  },
  "regime/negative_up": {
    meaning: "share of the tokens with negative advantage that became likelier",
    unit: "share",
  },
  "regime/negative_down": {
    meaning: "share of the tokens with negative advantage that became less likely",
    unit: "share",
  },
  "reference/kl": { meaning: "KL to the reference policy, k3", unit: "nats a token" },
  "reference/k1": { meaning: "KL to the reference policy, k1", unit: "nats a token" },
  "advantage/mean": {
    meaning: "mean advantage over sampled tokens",
    unit: "reward",
    elsewhere: "verl `critic/advantages/mean`",
  },
  "advantage/std": { meaning: "its deviation", unit: "reward" },
  "advantage/min": { meaning: "the least", unit: "reward" },
  "advantage/max": { meaning: "the greatest", unit: "reward" },
  "mismatch/kl": {
    meaning: "KL between what sampled and what trains, on tokens that the same weights sampled, k3",
    unit: "nats a token",
    elsewhere: "verl `rollout_corr/k3_kl`, prime-rl `mismatch_kl`",
    label: "mismatch kl",
    format: "scientific",
  },
  "mismatch/k1": {
    meaning: "the same by k1",
    unit: "nats a token",
    elsewhere: "verl `rollout_corr/kl`",
  },
  "mismatch/max_abs": {
    meaning: "greatest difference of a log-probability between the two",
    unit: "nats",
    elsewhere: "TRL `sampling/sampling_logp_difference/max`",
  },
  "mismatch/ess": {
    meaning:
      "effective sample size of the importance weights as a share of the tokens: 1 is on policy",
    unit: "share",
    elsewhere: "verl `rollout_corr/rollout_is_eff_sample_size`",
  },
  "mismatch/pearson": {
    meaning: "correlation of the two probabilities of the sampled tokens",
    unit: "1",
    elsewhere: "verl `training/rollout_actor_probs_pearson_corr`",
  },
  "lag/mean": {
    meaning: "optimizer steps between sampling a group and training on it, mean over the groups",
    unit: "steps",
    label: "lag mean",
  },
  "lag/max": { meaning: "the same of the oldest group", unit: "steps", label: "lag max" },
  "lag/bound": {
    meaning:
      "what it is at most, by slots, window and groups of a step; absent where the window is greedy",
    unit: "steps",
  },
  "lag/<n>": { meaning: "groups of the step whose lag was n: a histogram", unit: "groups" },
  "tree/token_ratio": {
    meaning: "tokens of the requests over tokens computed after their common prefixes are merged",
    unit: "1",
  },
  "cluster/trainers": { meaning: "nodes that made the step together", unit: "nodes" },
  "cluster/epoch": {
    meaning: "how often the members have changed, or a step was made again",
    unit: "1",
  },
  "cluster/attempts": { meaning: "times that the step was tried", unit: "attempts" },
  "cluster/sent_mb": { meaning: "sent round the ring by this node", unit: "MB" },
  "cluster/ring_s": {
    meaning:
      "time in the ring, in which gradients are computed and the slowest node is waited for too",
    unit: "s",
  },
  "throughput/rollout_tokens_per_s": {
    meaning: "tokens sampled per second of sampling",
    unit: "tokens/s",
    label: "rollout t/s",
  },
  "throughput/train_tokens_per_s": {
    meaning: "tokens trained on per second of training",
    unit: "tokens/s",
    label: "train t/s",
  },
  "throughput/data_tokens_per_s": {
    meaning: "tokens made ready for training (rewards, advantages, trees) per second of doing so",
    unit: "tokens/s",
  },
  "throughput/io_tokens_per_s": {
    meaning: "tokens whose episodes, metrics and checkpoints were written per second of writing",
    unit: "tokens/s",
  },
  "yield/throughput": {
    meaning: "tokens sampled and trained on per second of the wall, over the window",
    unit: "tokens/s",
  },
  "yield/reward_gain_per_1k_samples": {
    meaning:
      "slope of the mean reward over the episodes consumed, by least squares over the window",
    unit: "reward",
  },
  "yield/j": {
    meaning: "throughput × reward gain: the training yield that MiniMax Forge maximises",
    unit: "tokens/s · reward",
  },
  "yield/grad_norm_variance": {
    meaning: "variance of the gradient's norm over the window",
    unit: "1",
  },
  "charts/episodic_return": {
    meaning: "mean return of the episodes that ended in the step, of ordinary control",
    unit: "reward",
    label: "return",
  },
  "charts/episodic_length": { meaning: "their mean length", unit: "environment steps" },
  "charts/learning_rate": {
    meaning: "learning rate of the step",
    unit: "1",
    elsewhere: "TRL `learning_rate`, verl `actor/lr`",
    label: "lr",
    format: "scientific",
  },
  "charts/samples": { meaning: "episodes consumed since the run began", unit: "episodes" },
  "charts/tokens": {
    meaning: "tokens trained on since the run began",
    unit: "tokens",
    elsewhere: "TRL `num_tokens`",
  },
  "charts/trained_tokens": { meaning: "tokens that had a gradient in the step", unit: "tokens" },
  "time/step_ms": {
    meaning: "the whole step on the wall",
    unit: "ms",
    elsewhere: "verl `timing_s/step`",
  },
  "time/rollout_ms": {
    meaning: "time that sampling took of the step",
    unit: "ms",
    elsewhere: "verl `timing_s/gen`",
  },
  "time/train_ms": {
    meaning: "time that training took",
    unit: "ms",
    elsewhere: "verl `timing_s/update_actor`",
  },
  "time/data_ms": { meaning: "time that rewards, advantages and trees took", unit: "ms" },
  "time/io_ms": { meaning: "time that writing took", unit: "ms" },
};

/** The entry of a metric, of the pattern that it matches where its own name is not listed; undefined for a user's own. */
export function metricEntry(name: string): MetricEntry | undefined {
  if (Object.hasOwn(METRICS, name)) return METRICS[name];
  const pattern = Object.keys(METRICS).find(
    (key) =>
      key.endsWith(">") &&
      name.startsWith(key.slice(0, key.indexOf("<"))) &&
      (key.endsWith("<component>") || /\d+$/.test(name)),
  );
  return pattern === undefined ? undefined : METRICS[pattern];
}

/** `docs/metrics.md`. */
export function metricsDocument(): string {
  const rows = Object.entries(METRICS).map(
    ([name, { meaning, unit, elsewhere }]) =>
      `| \`${name}\` | ${unit} | ${meaning} | ${elsewhere ?? ""} |`,
  );
  return [
    "# Metrics",
    "",
    "What a run writes at each step into `metrics.jsonl` and TensorBoard. Names with `<…>` stand for several. A metric is there",
    "when it means something: no critic, no `losses/value_loss`.",
    "",
    "A line of `metrics.jsonl` begins with `step` and `wall_time` (seconds since 1970). JSON has no NaN and no infinity: such a",
    'number is `null`, and the line\'s last key says which it was, as in `"non_finite":{"losses/grad_norm":"Infinity"}`.',
    "",
    "| name | unit | meaning | elsewhere |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
    "This file is made of `src/train/run/metric-catalogue.ts`; `npx vitest run --project unit test/unit/train/metric-catalogue -u`",
    "writes it anew.",
    "",
  ].join("\n");
}
