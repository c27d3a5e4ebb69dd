/**
 * The configuration of a run, as types. What a key means, its unit and its default are said once, by the schemas, and
 * from there in docs/configuration.md.
 */
import type { FamilyName, WeightDType } from "../../../engine/index.ts";
import type { Environment } from "../../agent/environment.ts";
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import type { AlgorithmName, OptionsOf } from "../../rl/algorithm/index.ts";

/** What is learned from. */
export type TrainMethod = "rl" | "sft" | "dpo";

/** How a model that is made anew reads text; `chat` gives it tokens and a template for chats and calls of tools. */
export type TokenizerConfig =
  | { readonly kind: "bytes"; readonly chat?: boolean }
  | { readonly kind: "characters"; readonly alphabet: string; readonly chat?: boolean }
  | { readonly kind: "directory"; readonly directory: string };

/** A model made from random weights. */
export interface CreateConfig {
  readonly family: FamilyName;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly mlpWidth: number;
  readonly maxLength: number;
  readonly vocab: number | null;
  readonly seed: number | null;
  readonly tokenizer: TokenizerConfig;
}

/** Adapters that are trained in the place of the weights. */
export interface LoraSection {
  readonly rank: number;
  readonly alpha: number;
  readonly targets: readonly string[] | null;
}

export interface ModelSection {
  readonly directory: string | null;
  readonly create: CreateConfig | null;
  readonly lora: LoraSection | null;
  readonly weightDtype: WeightDType;
}

/** An algorithm by its name, with options of its own beside it. */
export type NamedAlgorithm = {
  readonly [N in AlgorithmName]: { readonly name: N } & Omit<OptionsOf[N], "name">;
}[AlgorithmName];

export interface RewardSection {
  readonly weights: Readonly<Record<string, number>>;
  readonly roles: Readonly<Record<string, number>>;
  readonly process: number;
  readonly speed: number;
  readonly speedWindow: number;
  readonly speedMinimum: number;
  readonly secondsPerToken: number | null;
  readonly truncated: "mask" | "score" | "zero";
}

export interface RolloutSection {
  readonly groupSize: number;
  readonly groupsPerStep: number;
  readonly slots: number;
  readonly window: number | "strict" | "greedy";
  readonly batch: number;
  readonly cacheSlots: number;
  readonly stepsPerReadback: number;
  readonly length: number | null;
  readonly maxTokens: number | null;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetition: { readonly count: number; readonly probability: number } | null;
  readonly episodeTimeoutMs: number | null;
  readonly groupDeadlineMs: number | null;
  readonly poolCapacityTokens: number;
  readonly deterministic: "auto" | boolean;
}

export interface OptimizerSection {
  readonly lr: number;
  readonly criticLr: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  readonly finalLr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number | null;
}

/** Supervised steps before the first rollout. */
export interface WarmStartConfig {
  readonly steps: number;
  readonly batch: number;
  readonly lr: number;
  readonly lossTarget: number | null;
}

export interface TrainSection {
  readonly steps: number;
  readonly maxMinutes: number | null;
  readonly tokenBudget: number;
  readonly isCheckpointed: boolean;
  readonly reference: "auto" | "none" | "start";
  readonly batch: number;
  readonly heldOut: number;
  readonly dpo: { readonly beta: number; readonly labelSmoothing: number };
  readonly warmStart: WarmStartConfig | null;
}

export interface EvalSection {
  readonly every: number;
  readonly tasks: number | null;
  readonly samples: number;
  readonly temperature: number;
  readonly maxTokens: number | null;
}

export interface CheckpointSection {
  readonly every: number;
  readonly keep: number;
  readonly best: string | null;
}

export interface RunSection {
  readonly directory: string;
  readonly tensorboard: boolean;
  readonly rolloutsEvery: number;
}

/** A configuration, checked and complete. `null` is "off", or "as the description of the key says". */
export interface TrainConfig {
  readonly name: string;
  readonly seed: number;
  readonly method: TrainMethod;
  readonly environment: string | Environment | null;
  readonly data: string | null;
  readonly model: ModelSection;
  readonly algorithm: NamedAlgorithm | Algorithm;
  readonly reward: RewardSection;
  readonly rollout: RolloutSection;
  readonly optimizer: OptimizerSection;
  readonly train: TrainSection;
  readonly eval: EvalSection;
  readonly checkpoint: CheckpointSection;
  readonly run: RunSection;
}

/** What may be left out of `T`, section by section. */
type Draft<T> = T extends string | number | boolean | null | readonly unknown[]
  ? T
  : { readonly [K in keyof T]?: Draft<T[K]> };

/** A configuration as it is written: what is left out has its default. */
export interface TrainConfigInput<Task = unknown>
  extends Omit<Draft<TrainConfig>, "environment" | "algorithm" | "model"> {
  readonly environment?: string | Environment<Task> | null;
  readonly algorithm?: NamedAlgorithm | Algorithm;
  readonly model?: Omit<Draft<ModelSection>, "create"> & {
    readonly create?:
      | (Draft<Omit<CreateConfig, "layers" | "width" | "heads" | "tokenizer">> &
          Pick<CreateConfig, "layers" | "width" | "heads"> & {
            readonly tokenizer?: TokenizerConfig;
          })
      | null;
  };
}
