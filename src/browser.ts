/**
 * The front door of the library in browsers: all that runs there. Re-exports only.
 */
export * from "../engine/index.ts";
export {
  type Demonstration,
  defineEnvironment,
  type Environment,
  type EnvironmentDefinition,
  type EpisodeContext,
  type EpisodeTrace,
  type Policy,
  type PolicyReply,
  type PolicyRequest,
  type RewardComponent,
  type RewardDefinition,
  type Score,
} from "./agent/environment.ts";
export * from "./pool/index.ts";
export * from "./rl/index.ts";
export {
  Conversation,
  type ConversationOptions,
  type Turn,
  type TurnRequest,
} from "./rollout/conversation.ts";
export type {
  Alternative,
  FinishReason,
  Generation,
  GenerationRequest,
  GenerationTiming,
  RepetitionStop,
  SampledToken,
} from "./rollout/request.ts";
export { Sampler, type SamplerOptions, type SamplerStats } from "./rollout/sampler.ts";
export {
  type ScoreOptions,
  Scorer,
  type ScorerOptions,
  type SequenceScore,
  type SequenceToScore,
} from "./rollout/scorer.ts";
export type { Session } from "./rollout/session.ts";
