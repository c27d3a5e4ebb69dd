/**
 * The engine's front door: re-exports only.
 */
import "./graph/one-shot.ts";
import "./ops/methods.ts";
import "./ops/view-gradient.ts";

export { type ErrorCode, type ErrorParts, ForgeError } from "./error.ts";
export { type OpenOptions, openDevice } from "./gpu/adapter.ts";
export { Device } from "./gpu/device.ts";
export type { Tuning, TuningMode, TuningReport } from "./gpu/tuning.ts";
export { type GradOptions, grad, valueAndGrad } from "./graph/autograd.ts";
export { type Compiled, type CompileOptions, compile } from "./graph/compile.ts";
export { getDefaultDevice, setDefaultDevice } from "./graph/default-device.ts";
export type { Plan, Watch } from "./graph/plan.ts";
export type { PlanReport, ProfiledKernel } from "./graph/report.ts";
export type { Tree } from "./graph/tree.ts";
export { type TrainBpeOptions, trainBpe } from "./models/bpe-trainer.ts";
export { type ByteSource, blobSource, bytesSource } from "./models/byte-source.ts";
export { type ByteTokenizerOptions, byteTokenizer } from "./models/byte-tokenizer.ts";
export { CausalLM, createModel, type ModelConfig } from "./models/causal-lm.ts";
export {
  type CharacterTokenizerOptions,
  characterTokenizer,
} from "./models/character-tokenizer.ts";
export {
  type ChatInput,
  type ChatMessage,
  ChatTemplate,
  type ChatTemplateFiles,
} from "./models/chat-template.ts";
export type { HfConfig } from "./models/config.ts";
export { copyModel } from "./models/copy.ts";
export { type DecodeOptions, Detokenizer } from "./models/detokenizer.ts";
export {
  FAMILIES,
  type Family,
  type FamilyName,
  modelConfig,
  modelOptions,
} from "./models/families.ts";
export {
  bf16ToF32,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  firstNonFinite,
  packPairs,
} from "./models/float-formats.ts";
export { type GenerationDefaults, generationDefaults } from "./models/generation-config.ts";
export {
  applyLora,
  LoraModel,
  type LoraOptions,
  type MergeOptions,
  type ModuleAdapter,
  mergeLora,
  unmergeLora,
} from "./models/lora.ts";
export type { LoraConfig } from "./models/lora-targets.ts";
export { type LoadedModel, loadModelFiles, memoryFiles } from "./models/model-files.ts";
export { type LoraFilesOptions, loadLora, loraFiles } from "./models/peft.ts";
export {
  type FloatDType,
  type ReadTensorOptions,
  readSafetensorsHeader,
  readTensor,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsHeader,
  type TensorInfo,
} from "./models/safetensors.ts";
export {
  type SafetensorsTensor,
  safetensorsHeader,
  safetensorsParts,
} from "./models/safetensors-writer.ts";
export { type ModelFile, modelFiles, type SaveOptions } from "./models/save.ts";
export {
  type CheckpointFiles,
  type CheckpointIndex,
  type CheckpointShard,
  type CheckpointTensor,
  openCheckpoint,
} from "./models/shards.ts";
export { type StopResult, StopStrings } from "./models/stop-strings.ts";
export {
  checkVocabulary,
  type EncodeOptions,
  Tokenizer,
  type TokenizerFiles,
} from "./models/tokenizer.ts";
export type { TokenizerJson } from "./models/tokenizer-json.ts";
export { type LoadOptions, loadModel } from "./models/weights.ts";
export { type AdapterPart, LowRankAdapter } from "./nn/adapter.ts";
export { SelfAttention, type SelfAttentionOptions } from "./nn/attention.ts";
export {
  chainForest,
  type Forest,
  type ForestArrays,
  forestFromParents,
  packSequences,
  toForest,
} from "./nn/forest.ts";
export {
  constantInit,
  type DrawnInit,
  type Init,
  kaimingNormalInit,
  kaimingUniformInit,
  normalInit,
  orthogonalInit,
  residualInit,
  uniformInit,
  xavierNormalInit,
  xavierUniformInit,
} from "./nn/init.ts";
export { KvCache, type KvCacheOptions } from "./nn/kv-cache.ts";
export { Embedding, type EmbeddingOptions, Linear, type LinearOptions } from "./nn/linear.ts";
export { GatedMlp, type GatedMlpOptions, Mlp, type MlpOptions } from "./nn/mlp.ts";
export { namedParameters, parametersOf } from "./nn/module.ts";
export { LayerNorm, type NormOptions, RmsNorm } from "./nn/norm.ts";
export { Random } from "./nn/random.ts";
export { Transformer, TransformerLayer, type TransformerOptions } from "./nn/transformer.ts";
export { advance, type SlotStates } from "./ops/advance.ts";
export { argMax, argMin } from "./ops/arg-max.ts";
export {
  type AttentionOptions,
  attention,
  type PackedHeads,
  packedAttention,
} from "./ops/attention.ts";
export {
  type CacheAttentionOptions,
  type CacheRows,
  cacheAttention,
  copyCacheSlots,
} from "./ops/cache-attention.ts";
export { checkpoint } from "./ops/checkpoint.ts";
export { concat, pad, stack } from "./ops/concat.ts";
export { type CrossEntropyOptions, crossEntropy } from "./ops/cross-entropy.ts";
export { type CumulativeSumOptions, cumulativeSum } from "./ops/cumulative-sum.ts";
export * from "./ops/elementwise.ts";
export { embedding } from "./ops/embedding.ts";
export { type GegluOptions, geglu, packedGeglu, packedSwiglu, swiglu } from "./ops/gated.ts";
export { oneHot, take, takeAlongAxis } from "./ops/gather.ts";
export { arange, iota } from "./ops/iota.ts";
export { type KernelVariantReport, kernelVariants } from "./ops/kernel-variants.ts";
export { addLayerNorm, type LayerNormOptions, layerNorm } from "./ops/layer-norm.ts";
export { type LmHeadOptions, type LmHeadResult, lmHead } from "./ops/lm-head.ts";
export { matmul } from "./ops/matmul.ts";
export {
  POLICY_LOSS_ROWS,
  type PolicyLossOptions,
  type PolicyLossResult,
  policyLoss,
} from "./ops/policy-loss.ts";
export type { KlKind, PolicyLossForm } from "./ops/policy-loss-variants.ts";
export { Generator } from "./ops/random.ts";
export {
  type Axes,
  max,
  mean,
  min,
  product,
  type ReduceOptions,
  sum,
  variance,
} from "./ops/reduce.ts";
export { addRmsNorm, type RmsNormOptions, rmsNorm } from "./ops/rms-norm.ts";
export { type RopeOptions, rope } from "./ops/rope.ts";
export type { RopeScaling } from "./ops/rope-frequencies.ts";
export {
  type Sampled,
  type SampleInputs,
  type SamplingOptions,
  sample,
  samplingWords,
} from "./ops/sample.ts";
export { logSoftmax, logSumExp, softmax } from "./ops/softmax.ts";
export { type TopK, topK } from "./ops/top-k.ts";
export {
  broadcastTo,
  permute,
  reshape,
  slice,
  split,
  squeeze,
  transpose,
  unsqueeze,
} from "./ops/view.ts";
export {
  type AccumulateOptions,
  GradientAccumulator,
  type SumPiece,
} from "./optim/accumulate.ts";
export { AdamW, type AdamWOptions } from "./optim/adamw.ts";
export type { Optimizer, OptimizerOptions, OptimizerState, StepResult } from "./optim/flat.ts";
export {
  type GradientFormat,
  GradientReadback,
  type GradientReadbackOptions,
  type Reading,
  type TakeRange,
} from "./optim/gradient-readback.ts";
export type { FlatRange } from "./optim/optimizer-kernels.ts";
export { constant, cosine, linear, type Schedule, type ScheduleOptions } from "./optim/schedule.ts";
export { SGD, type SgdOptions } from "./optim/sgd.ts";
export type { DType, HostArray, WeightDType } from "./tensor/dtype.ts";
export { fromBf16, fromHalf, toBf16, toHalf } from "./tensor/dtype.ts";
export type { Shape } from "./tensor/shape.ts";
export { parameter, State } from "./tensor/state.ts";
export { full, type NestedNumbers, type Operand, Tensor, tensor } from "./tensor/tensor.ts";
