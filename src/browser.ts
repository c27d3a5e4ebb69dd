/**
 * The front door of the library in browsers: all that runs there. Re-exports only.
 */
export * from "../engine/index.ts";
export { type Agent, type AgentContext, defineAgent } from "./agent/agent.ts";
export type {
  AgentEnvironmentDefinition,
  AgentEpisode,
  AgentTrace,
} from "./agent/agent-environment.ts";
export type { Chat, ChatReply, ChatRequest, MalformedCall } from "./agent/chat/chat.ts";
export { defineEnvironment } from "./agent/define-environment.ts";
export type {
  CommonDefinition,
  Demonstration,
  DemonstrationTurn,
  Environment,
  EnvironmentDefinition,
  EpisodeContext,
  EpisodeDetails,
  EpisodeTrace,
  GroupReward,
  RewardComponent,
  RewardDefinition,
  Score,
  WrittenReply,
} from "./agent/environment.ts";
export { toolCallFormat } from "./agent/format/detect.ts";
export type { ParsedCall, ParsedReply, ToolCallFormat } from "./agent/format/format.ts";
export { PLAIN_TEMPLATE, PLAIN_TOKENS } from "./agent/format/plain.ts";
export {
  type TemplateMessage,
  type TemplateTool,
  type TemplateToolCall,
  toTemplateMessages,
  toTemplateTools,
} from "./agent/format/template-messages.ts";
export {
  type AbsoluteJudge,
  type JudgedTrace,
  type JudgeOptions,
  judge,
  type RelativeJudge,
} from "./agent/judge/judge.ts";
export type { JudgeEndpoint } from "./agent/judge/judge-client.ts";
export type { JudgeScale } from "./agent/judge/verdict.ts";
export {
  type McpAddress,
  type McpCommand,
  type McpOptions,
  type McpTarget,
  McpTools,
  mcp,
} from "./agent/mcp.ts";
export type {
  AssistantMessage,
  Message,
  SystemMessage,
  ToolCall,
  ToolCallRecord,
  ToolCallStatus,
  ToolDefinition,
  ToolMessage,
  UserMessage,
} from "./agent/message.ts";
export {
  type MixDefinition,
  type MixedDomain,
  type MixedTask,
  type MixStage,
  mixEnvironments,
} from "./agent/mix.ts";
export { type AgentModel, type AgentModelOptions, agentModel } from "./agent/model/agent-model.ts";
export type {
  Completion,
  CompletionChunk,
  CompletionMessage,
  CompletionOptions,
  CompletionRequest,
  CompletionStream,
} from "./agent/model/openai-types.ts";
export type {
  Policy,
  PolicyLanguage,
  PolicyReply,
  PolicyRequest,
  PolicyTemplate,
  PolicyTokenizer,
  RenderedChat,
} from "./agent/policy.ts";
export type { AiSdkCallOptions, AiSdkTool, AiSdkTools } from "./agent/tool/ai-sdk-tool.ts";
export {
  BoundTools,
  type OpenToolsContext,
  type OwnCallOptions,
  openTools,
  type ToolCaller,
  type WrittenCalls,
} from "./agent/tool/bound-tools.ts";
export {
  type OpenedTools,
  type Tool,
  type ToolContext,
  type ToolOptions,
  type ToolProvider,
  type ToolSet,
  type ToolSource,
  tool,
} from "./agent/tool/tool.ts";
export {
  type ContextManager,
  type ManagedContext,
  type ToolLoopOptions,
  toolLoop,
} from "./agent/tool-loop.ts";
export * from "./control/index.ts";
export * from "./pool/index.ts";
export * from "./rl/index.ts";
export {
  type PolicyObjective,
  type PolicyObjectiveInput,
  type PolicyObjectiveOptions,
  policyObjective,
} from "./rl/loss/policy-loss.ts";
export { type ValueLossInput, valueLoss } from "./rl/loss/value-loss.ts";
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
export {
  captureModel,
  captureOptimizer,
  captureTrained,
  type Trained,
} from "./train/checkpoint/capture.ts";
export type {
  Checkpoint,
  CheckpointContents,
  CheckpointTensor,
  TensorFile,
  TensorSet,
} from "./train/checkpoint/contents.ts";
export {
  type PackedCheckpoint,
  packCheckpoint,
  unpackCheckpoint,
} from "./train/checkpoint/packed.ts";
export { restoreTrained } from "./train/checkpoint/restore.ts";
export { algorithmOf } from "./train/config/algorithm-section.ts";
export { configWarnings } from "./train/config/cross-checks.ts";
export { applyOverrides } from "./train/config/overrides.ts";
export { defineConfig, type ParseConfigOptions, parseConfig } from "./train/config/parse.ts";
export { printConfig } from "./train/config/print.ts";
export type {
  CheckpointSection,
  CreateConfig,
  EvalSection,
  LoraSection,
  ModelSection,
  NamedAlgorithm,
  OptimizerSection,
  RewardSection,
  RolloutSection,
  RunSection,
  TokenizerConfig,
  TrainConfig,
  TrainConfigInput,
  TrainMethod,
  TrainSection,
  WarmStartConfig,
} from "./train/config/types.ts";
export type { EpisodeSampling } from "./train/episode/episode.ts";
export type { RecordedEpisode, RewardOptions } from "./train/episode/episodes.ts";
export { type EvaluateOptions, evaluate } from "./train/episode/evaluate.ts";
export { Rollout, type RolloutOptions } from "./train/episode/rollout.ts";
export {
  type EvaluatedEpisode,
  type EvaluationReport,
  evaluationMetrics,
  evaluationReport,
  type ReportOptions,
} from "./train/evaluation/report.ts";
export { Learner, type LearnerOptions, type LearnerReport } from "./train/learner/learner.ts";
export { stepMetrics } from "./train/learner/step-metrics.ts";
export {
  type CreatePolicyOptions,
  createPolicy,
  type OpenedPolicy,
} from "./train/policy/create-policy.ts";
export type { NewTokenizer, NewTokenizerConfig } from "./train/policy/new-tokenizer.ts";
export { RlTraining, type RlTrainingOptions } from "./train/rl-training.ts";
export {
  type DpoLossOptions,
  type DpoMeasurement,
  type DpoStep,
  DpoTrainer,
  type DpoTrainerOptions,
} from "./train/supervised/dpo.ts";
export type { PreferencePair } from "./train/supervised/dpo-pairs.ts";
export {
  type SftSample,
  type SftStep,
  SftTrainer,
  type SftTrainerOptions,
} from "./train/supervised/sft.ts";
export { sampleOfDemonstration, samplesOfConversation } from "./train/supervised/sft-samples.ts";
export {
  type WarmStartOptions,
  type WarmStartStep,
  warmStart,
} from "./train/supervised/warm-start.ts";
export {
  type StepReport,
  Trainer,
  type TrainerOptions,
  type TrainerSnapshot,
} from "./train/trainer.ts";
export type { Evaluation, OnPhase, Training, TrainingStep } from "./train/training.ts";
