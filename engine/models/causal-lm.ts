/** Language models: a family, a configuration, and a decoder with its weights. */
import { ForgeError } from "../error.ts";
import { parametersOf } from "../nn/module.ts";
import { Random } from "../nn/random.ts";
import { type LayerAttention, Transformer, type TransformerOptions } from "../nn/transformer.ts";
import type { RopeOptions } from "../ops/rope.ts";
import type { State } from "../tensor/state.ts";
import type { HfConfig } from "./config.ts";
import { type FamilyName, familyOf, modelConfig, modelOptions } from "./families.ts";
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
  /**
   * States held in f16 whose values are no longer those that were read. What is saved of all other f16 states is taken from
   * wider tensors that they were read from: whoever writes or assigns one adds it here.
   */
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
 * Errors    `argument_invalid` for an option that the family's config.json cannot say; `config_invalid` and
 *           `model_unsupported` for sizes that do not fit together or that no kernel runs, by their names there.
 */
export function createModel({ family = "llama", seed = 0, ...given }: ModelConfig): CausalLM {
  const { init, isCheckpointed, weightDtype, hasBias, ...sizes } = given;
  const biases =
    hasBias === undefined
      ? {}
      : { hasQkvBias: hasBias, hasOutputBias: hasBias, hasMlpBias: hasBias };
  const asked = { ...biases, ...sizes };
  // by way of config.json, so that a saved model is read back as it was made
  const { options } = modelOptions(modelConfig(family, { ...familyOf(family).traits, ...asked }));
  checkExpressed(family, asked, options);
  const transformer = new Transformer(new Random(seed), {
    ...options,
    ...(init ? { init } : {}),
    ...(isCheckpointed ? { isCheckpointed } : {}),
    ...(weightDtype ? { weightDtype } : {}),
  });
  return new CausalLM(family, transformer);
}

/** Errors: `argument_invalid` unless the options that were read back do what was asked for. */
function checkExpressed(
  family: FamilyName,
  asked: Partial<TransformerOptions>,
  read: TransformerOptions,
): void {
  const [wanted, got] = [explicit({ ...read, ...asked }), explicit(read)];
  const lost = Object.keys(wanted).find((key) => canonical(wanted[key]) !== canonical(got[key]));
  if (lost === undefined) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `createModel: a model of the family ${family} cannot have this "${lost}".`,
    got: JSON.stringify(wanted[lost]),
    why: `its config.json would be read as ${JSON.stringify(got[lost])}`,
    fix: "leave it out, or choose another family",
  });
}

/** Options with nothing left to defaults: those of two models that compute the same are equal. */
function explicit(o: TransformerOptions): Readonly<Record<string, unknown>> {
  const { width, heads, headDim = width / heads, hasBias = false, position = "rope" } = o;
  const layers = Array.from({ length: o.layers }, (_, i) => o.layerAttention?.[i] ?? {});
  const ropeOf = ({ rope = o.rope }: LayerAttention): RopeOptions | undefined =>
    position === "rope"
      ? { theta: 10_000, rotaryDim: headDim, isInterleaved: false, scale: 1, ...rope }
      : rope;
  return {
    ...{ vocab: o.vocab, layers: o.layers, width, heads, kvHeads: o.kvHeads ?? heads, headDim },
    ...{ mlpWidth: o.mlpWidth ?? 4 * width, mlp: o.mlp ?? "swiglu", norm: o.norm ?? "rms" },
    ...{ normEps: o.normEps ?? 1e-5, normOffset: o.normOffset ?? 0, position },
    hasPostNorms: o.hasPostNorms ?? false,
    hasHeadNorms: o.hasHeadNorms ?? false,
    maxDepth: o.maxDepth,
    rope: layers.map(ropeOf),
    window: layers.map(({ window = o.window ?? 0 }) => window),
    hasQkvBias: o.hasQkvBias ?? hasBias,
    hasOutputBias: o.hasOutputBias ?? hasBias,
    hasMlpBias: o.hasMlpBias ?? hasBias,
    isTied: o.isTied ?? true,
    attentionSoftcap: o.attentionSoftcap ?? 0,
    attentionScale: o.attentionScale ?? headDim ** -0.5,
    embeddingScale: o.embeddingScale ?? 1,
    logitSoftcap: o.logitSoftcap ?? 0,
    initStd: o.initStd ?? 0.02,
  };
}

/** A value as text: keys in order, and numbers that differ by rounding (a square and its root) alike. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, part: unknown) => {
    if (typeof part === "number") return Number(part.toPrecision(12));
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
