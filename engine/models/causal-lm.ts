/** Language models: a family, a configuration, and a decoder with its weights. */
import { ForgeError } from "../error.ts";
import { parametersOf } from "../nn/module.ts";
import { Random } from "../nn/random.ts";
import { Transformer, type TransformerOptions } from "../nn/transformer.ts";
import type { State } from "../tensor/state.ts";
import type { HfConfig } from "./config.ts";
import { FAMILIES, type FamilyName, modelConfig, modelOptions } from "./families.ts";
import type { CheckpointIndex } from "./shards.ts";

/** What a model is made with by {@link createModel}. */
export interface ModelConfig extends TransformerOptions {
  /** Default `llama`. */
  readonly family?: FamilyName;
  /** Seed of the initial weights, of which the lower 32 bits count. Default 0. */
  readonly seed?: number;
}

/** A model of one of the families in `families.ts`. */
export class CausalLM implements Disposable {
  readonly family: FamilyName;
  /** Its config.json: as it was read, else as `modelOptions` would read it back. */
  readonly config: HfConfig;
  readonly transformer: Transformer;
  /** Where its weights came from, for what is saved unchanged. */
  readonly checkpoint: CheckpointIndex | undefined;
  /** States that are no longer what was read, where that cannot be seen from their dtype. */
  readonly changed: Set<State> = new Set();

  constructor(
    family: FamilyName,
    transformer: Transformer,
    origin: { readonly config?: HfConfig; readonly checkpoint?: CheckpointIndex } = {},
  ) {
    this.family = family;
    this.transformer = transformer;
    this.config = origin.config ?? modelConfig(family, transformer.options);
    this.checkpoint = origin.checkpoint;
  }

  get options(): TransformerOptions {
    return this.transformer.options;
  }

  /** Tokens that it was made for. */
  get maxLength(): number {
    return this.options.maxDepth ?? 2048;
  }

  /** Frees its weights. */
  [Symbol.dispose](): void {
    for (const state of parametersOf(this.transformer)) state[Symbol.dispose]();
  }
}

/**
 * A model with random weights: matrices and tables normal with `initStd` (0.02), those that add to the residual stream with
 * initStd / √(2 · layers) (GPT-2), biases 0, norms 1. The same seed gives the same weights everywhere.
 *
 * Errors    `argument_invalid` for sizes that do not fit together, or an option that the family's config.json cannot say.
 */
export function createModel({ family = "llama", seed = 0, ...given }: ModelConfig): CausalLM {
  const { init, isCheckpointed, hasBias, ...sizes } = given;
  const biases =
    hasBias === undefined
      ? {}
      : { hasQkvBias: hasBias, hasOutputBias: hasBias, hasMlpBias: hasBias };
  const asked = { ...FAMILIES[family].traits, ...biases, ...sizes };
  // by way of config.json, so that a saved model is read back as it was made
  const { options } = modelOptions(modelConfig(family, asked));
  checkExpressed(family, asked, options);
  const transformer = new Transformer(new Random(seed), {
    ...options,
    ...(init ? { init } : {}),
    ...(isCheckpointed ? { isCheckpointed } : {}),
  });
  return new CausalLM(family, transformer);
}

/** What {@link Transformer} takes a missing option for, where that is not "off". */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  mlp: "swiglu",
  norm: "rms",
  position: "rope",
  attentionScale: undefined,
  embeddingScale: 1,
};

function checkExpressed(
  family: FamilyName,
  asked: Readonly<Record<string, unknown>> | Partial<TransformerOptions>,
  options: TransformerOptions,
): void {
  const read = options as unknown as Readonly<Record<string, unknown>>;
  const lost = Object.entries(asked).find(
    ([key, value]) => value && value !== DEFAULTS[key] && !read[key],
  );
  if (!lost) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `createModel: a model of the family ${family} has no "${lost[0]}".`,
    got: JSON.stringify(lost[1]),
    why: "its config.json could not say so, and what is saved must be read back as it was",
    fix: "leave it out, or choose another family",
  });
}
