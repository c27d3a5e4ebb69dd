/** Algorithms, advantages, rewards and corrections: functions of numbers, without a GPU. */
export {
  type ControlGaeInput,
  type ControlGaeOptions,
  type ControlGaeResult,
  controlGae,
} from "./advantage/control-gae.ts";
export { drGrpoAdvantage } from "./advantage/dr-grpo.ts";
export { type ForgeAdvantageOptions, forgeAdvantage } from "./advantage/forge.ts";
export {
  type GaeInput,
  type GaeOptions,
  type GaeResult,
  gaeAdvantage,
} from "./advantage/gae.ts";
export { type GrpoAdvantageOptions, grpoAdvantage } from "./advantage/grpo.ts";
export { type MaxrlOptions, maxrlAdvantage } from "./advantage/maxrl.ts";
export { opoAdvantage } from "./advantage/opo.ts";
export { reinforcePlusPlusAdvantage } from "./advantage/reinforce-plus-plus.ts";
export { reinforcePlusPlusBaselineAdvantage } from "./advantage/reinforce-plus-plus-baseline.ts";
export { rlooAdvantage } from "./advantage/rloo.ts";
export { type Aggregation, aggregationWeights, type SequenceUnit } from "./aggregation.ts";
export { episodeReward, perEpisode } from "./algorithm/adapters.ts";
export { advantagesOf } from "./algorithm/advantages.ts";
export type { Algorithm, AlgorithmMemory, Critic, KlTerm } from "./algorithm/algorithm.ts";
export { type CispoOptions, cispo } from "./algorithm/cispo.ts";
export { clippingOf, type RatioUnit, ratioUnit } from "./algorithm/clipping.ts";
export { type DapoOptions, dapo } from "./algorithm/dapo.ts";
export {
  type AlgorithmDefinition,
  type AlgorithmOptions,
  defineAlgorithm,
} from "./algorithm/definition.ts";
export { type DrGrpoOptions, drGrpo } from "./algorithm/dr-grpo.ts";
export { type ForgeOptions, forge } from "./algorithm/forge.ts";
export { type GrpoOptions, grpo } from "./algorithm/grpo.ts";
export { type GspoOptions, gspo } from "./algorithm/gspo.ts";
export { ALGORITHMS, type AlgorithmName, algorithm, type OptionsOf } from "./algorithm/index.ts";
export { type PpoOptions, ppo } from "./algorithm/ppo.ts";
export {
  type ReinforcePlusPlusOptions,
  reinforcePlusPlus,
} from "./algorithm/reinforce-plus-plus.ts";
export {
  type ReinforcePlusPlusBaselineOptions,
  reinforcePlusPlusBaseline,
} from "./algorithm/reinforce-plus-plus-baseline.ts";
export { type RlooOptions, rloo } from "./algorithm/rloo.ts";
export { type SapoOptions, sapo } from "./algorithm/sapo.ts";
export type { Chains } from "./chains.ts";
export type { AdvantageFunction, Advantages, Episode, EpisodeStep } from "./episode.ts";
export type { GroupId, Reward, SingleRule } from "./groups.ts";
export { type ImportanceCorrection, importanceWeights } from "./importance/index.ts";
export { type Mismatch, mismatch } from "./importance/mismatch.ts";
export { type KlEstimator, klEstimate } from "./kl.ts";
export type { PolicyLossFunction, PolicyLossInput } from "./loss/policy-loss.ts";
export { explainedVariance, mismatchMetrics, type PolicyTokens, policyMetrics } from "./metrics.ts";
export {
  type ComponentValues,
  type ComponentWeights,
  weightedReward,
} from "./reward/components.ts";
export {
  type CompositeWeights,
  compositeReward,
  type EpisodeReward,
} from "./reward/composite.ts";
export {
  adaptedKlCoefficient,
  type KlInRewardInput,
  type KlInRewardOptions,
  type KlTarget,
  klInReward,
} from "./reward/kl-in-reward.ts";
export { type OverlongOptions, overlongPenalty } from "./reward/overlong.ts";
export { episodeReturn, rewardToGo } from "./reward/reward-to-go.ts";
export {
  type SpeedBaselineOptions,
  type SpeedBaselineState,
  SpeedBaselines,
  speedReward,
  type TimedAttempt,
} from "./reward/speed.ts";
export {
  type BaselineMode,
  RunningBaseline,
  type RunningBaselineState,
  trajectoryBaselines,
} from "./reward/trajectory-baseline.ts";
export { criticalPath, type Span } from "./reward/virtual-clock.ts";
export { zeroVarianceGroups } from "./reward/zero-variance.ts";
