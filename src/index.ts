/**
 * The front door of the library: re-exports only.
 *
 * `forge-gpu/engine` and `forge-gpu/cluster` give the parts without the rest.
 */
export * from "../engine/index.ts";
export {
  type ModelDirectory,
  openModelDirectory,
  type SaveDirectoryOptions,
  saveModelDirectory,
} from "./models/directory.ts";
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
