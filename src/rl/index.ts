/** Advantages and rewards: functions of numbers, without a GPU. */
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
export { type GrpoOptions, grpoAdvantage } from "./advantage/grpo.ts";
export { type MaxrlOptions, maxrlAdvantage } from "./advantage/maxrl.ts";
export { opoAdvantage } from "./advantage/opo.ts";
export { reinforcePlusPlusAdvantage } from "./advantage/reinforce-plus-plus.ts";
export { reinforcePlusPlusBaselineAdvantage } from "./advantage/reinforce-plus-plus-baseline.ts";
export { rlooAdvantage } from "./advantage/rloo.ts";
export type { GroupId, Reward, SingleRule } from "./groups.ts";
export { type KlEstimator, klEstimate } from "./kl.ts";
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
export { rewardToGo } from "./reward/reward-to-go.ts";
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
