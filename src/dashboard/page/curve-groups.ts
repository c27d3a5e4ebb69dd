/** Which metrics share a chart, and which charts a section. */

/** A chart: metrics by name; a name that ends in `*` stands for all that begin so and have no chart of their own before. */
interface CurvePlan {
  readonly title: string;
  readonly metrics: readonly string[];
  /** Runs that have this metric do not have the chart. */
  readonly without?: string;
}

interface SectionPlan {
  readonly title: string;
  readonly curves: readonly CurvePlan[];
}

/** A chart with the metrics that a run has. */
export interface Curve {
  readonly title: string;
  readonly metrics: readonly string[];
}

export interface Section {
  readonly title: string;
  readonly curves: readonly Curve[];
}

const plan = (title: string, ...metrics: string[]): CurvePlan => ({ title, metrics });

const PLANS: readonly SectionPlan[] = [
  {
    title: "Does it get better?",
    curves: [
      plan("Reward", "reward/mean", "reward/min", "reward/max"),
      plan("Success in training", "rollout/success_rate"),
      plan("Success on held-out tasks", "eval/pass_at_*", "eval/accuracy"),
      plan("Return", "charts/episodic_return"),
      // of a policy gradient it says nothing about that
      { ...plan("Loss", "losses/loss", "eval/loss"), without: "reward/mean" },
      plan("Reward components", "reward/*"),
      plan("Reward on held-out tasks", "eval/reward_mean", "eval/reward/*"),
      plan("Spread of rewards", "reward/std"),
      plan("Preferences: margin", "dpo/margin", "eval/margin"),
      plan("Preferences: accuracy", "dpo/accuracy"),
      plan("Preferences: rewards", "dpo/chosen_reward", "dpo/rejected_reward"),
      plan("Other evaluations", "eval/*"),
    ],
  },
  {
    title: "Policy",
    curves: [
      plan("Entropy", "losses/entropy"),
      plan("Change of the policy", "losses/approx_kl", "losses/old_approx_kl"),
      plan("Distance to the reference", "reference/*", "losses/kl"),
      plan("Held back by the loss", "losses/clip_fraction"),
      plan("Gradient norm", "losses/grad_norm"),
      plan("Losses", "losses/policy_loss", "losses/value_loss", "losses/loss"),
      plan("Critic", "losses/explained_variance"),
      plan("Advantages", "advantage/*"),
      plan("Ratios", "ratio/*"),
      plan("Which tokens moved where", "regime/*"),
      plan("Learning rate", "charts/learning_rate"),
      plan("Other losses", "losses/*"),
    ],
  },
  {
    title: "Episodes",
    curves: [
      plan("Tokens of an episode", "rollout/response_length_mean", "rollout/response_length_max"),
      plan("Requests of an episode", "rollout/requests_mean"),
      plan("Length", "charts/episodic_length"),
      plan("Cut off or failed", "rollout/truncated_rate", "rollout/error_rate"),
      plan("Tool calls", "tools/calls_mean", "tools/calls*"),
      plan("Failing tool calls", "tools/*rate", "tools/*"),
      plan("Histories", "rollout/forks", "tree/*"),
      plan("Groups", "rollout/*groups"),
      plan("Other figures of episodes", "rollout/*"),
    ],
  },
  {
    title: "Sampling against training",
    curves: [
      plan("Mismatch (KL)", "mismatch/kl", "mismatch/k1"),
      plan("Mismatch (greatest)", "mismatch/max_abs"),
      plan("Agreement", "mismatch/ess", "mismatch/pearson", "mismatch/*"),
      plan("Lag", "lag/mean", "lag/max", "lag/bound"),
      plan("Groups by lag", "lag/*"),
    ],
  },
  {
    title: "Nodes",
    curves: [
      plan("Trainers", "cluster/trainers"),
      plan("Attempts at a step", "cluster/attempts"),
      plan("Sent round the ring", "cluster/sent_mb"),
      plan("Time in the ring", "cluster/ring_s"),
      plan("Epoch", "cluster/*"),
    ],
  },
  {
    title: "Speed",
    curves: [
      plan(
        "Tokens a second",
        "throughput/rollout_tokens_per_s",
        "throughput/train_tokens_per_s",
        "yield/throughput",
      ),
      plan("Time of a step", "time/*"),
      plan("Other throughput", "throughput/*"),
      plan("Training yield", "yield/j"),
      plan("Reward gained by 1,000 samples", "yield/reward*"),
      plan("Variance of the gradient norm", "yield/*"),
      plan("Episodes so far", "charts/samples"),
      plan("Tokens so far", "charts/tokens"),
      plan("Tokens with a gradient", "charts/trained_tokens"),
    ],
  },
];

/** The charts for some metrics: each metric is in one. */
export function sectionsOf(names: readonly string[]): Section[] {
  const plans = PLANS.flatMap(({ curves }) => curves).filter(
    ({ without }) => without === undefined || !names.includes(without),
  );
  const owners = new Map(names.map((name) => [name, ownerOf(name, plans)]));
  const sections = PLANS.map(({ title, curves }) => ({
    title,
    curves: curves
      .map((curve) => ({ title: curve.title, metrics: metricsOf(curve, owners) }))
      .filter(({ metrics }) => metrics.length > 0),
  }));
  const rest = names.filter((name) => !owners.get(name));
  const groups = [...new Set(rest.map((name) => name.split("/")[0] as string))];
  const own = groups.map((group) => ({
    title: group,
    metrics: rest.filter((name) => name.split("/")[0] === group),
  }));
  return [...sections, { title: "Of this run alone", curves: own }].filter(
    ({ curves }) => curves.length > 0,
  );
}

/** The chart that names a metric, or else the first whose pattern it matches. */
function ownerOf(name: string, plans: readonly CurvePlan[]): CurvePlan | undefined {
  return (
    plans.find(({ metrics }) => metrics.includes(name)) ??
    plans.find(({ metrics }) => metrics.some((pattern) => isMatch(name, pattern)))
  );
}

/** Its own, in the order in which it names them. */
function metricsOf(curve: CurvePlan, owners: ReadonlyMap<string, CurvePlan | undefined>): string[] {
  const own = [...owners].flatMap(([name, owner]) => (owner === curve ? [name] : []));
  const rank = (name: string): number =>
    curve.metrics.findIndex((pattern) => pattern === name || isMatch(name, pattern));
  return own.sort((a, b) => rank(a) - rank(b));
}

function isMatch(name: string, pattern: string): boolean {
  const [start = "", end] = pattern.split("*");
  return end !== undefined && name.startsWith(start) && name.endsWith(end);
}
