/** Direct preference optimization: of two responses the preferred one becomes likelier, relative to a reference. */
import {
  add,
  type CausalLM,
  ForgeError,
  LoraModel,
  matmul,
  mul,
  type Optimizer,
  reshape,
  softplus,
  square,
  sub,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import type { ForestBatch, ForestSample } from "../../pool/forest-batch.ts";
import { gatherEdges, tokenValues } from "../../pool/forest-samples.ts";
import { forestLogprobs } from "../learner/forest-logprobs.ts";
import { ForestPass } from "../learner/forest-pass.ts";
import { GradientStep, type StepOutcome } from "../learner/gradient-step.ts";
import { type EdgeTensors, edgeTensors, padBatch, padValues } from "../learner/padded-batch.ts";
import { checkSamples } from "./check-samples.ts";
import {
  marginSigns,
  type PairBatch,
  type PreferencePair,
  pairBatches,
  samplesOfPairs,
} from "./dpo-pairs.ts";
import { Turns } from "./turns.ts";

/** What is made of a pair's margin h = logπ(chosen) − logref(chosen) − (logπ(rejected) − logref(rejected)). */
export interface DpoLossOptions {
  /**
   * `sigmoid`: −log σ(βh) (Rafailov et al. 2023, arXiv:2305.18290, eq. 7). `ipo`: (h − 1/(2β))² (Azar et al. 2023,
   * arXiv:2310.12036, eq. 17). Default `sigmoid`.
   */
  readonly loss?: "sigmoid" | "ipo";
  /** How much it costs to leave the reference. Default 0.1. */
  readonly beta?: number;
  /**
   * Share ε of pairs that are the wrong way round: (1 − ε)·−log σ(βh) + ε·−log σ(−βh) (Mitchell 2023, "A note on DPO with
   * noisy preferences"). From 0 to below ½; with `sigmoid`. Default 0.
   */
  readonly labelSmoothing?: number;
  /** Whether log-probs of a response are means over its tokens, as TRL takes them for `ipo`, and not sums. Default false. */
  readonly isAveraged?: boolean;
}

/** Options of {@link DpoTrainer}. */
export interface DpoTrainerOptions extends DpoLossOptions {
  readonly model: CausalLM;
  /** Of the model's parameters, or of its adapters. It stays the caller's. */
  readonly optimizer: Optimizer;
  /** What the model is held to; it must not change. Default: the base of a model with adapters, else none. */
  readonly reference?: CausalLM;
  /** Tokens of a batch at most, which bounds memory. A pair is in one batch. Default 4096. */
  readonly tokenBudget?: number;
}

/** What a policy makes of pairs; means over them. */
export interface DpoMeasurement {
  readonly loss: number;
  /** β · (logπ − logref) of the preferred responses, and of the others. */
  readonly chosenReward: number;
  readonly rejectedReward: number;
  /** The first less the second. */
  readonly margin: number;
  /** Share of pairs whose preferred response has the higher reward. */
  readonly accuracy: number;
}

/** What {@link DpoTrainer.step} did, and what it found before the step. */
export interface DpoStep extends DpoMeasurement, StepOutcome {}

/** Log-ratios of the two responses of a pair. */
type Ratios = readonly [chosen: number, rejected: number];

/**
 * Trains a model on preferences. Both responses of a pair are in one batch, in which what sequences begin with is computed
 * once; tokens that both responses begin with cancel exactly. A loss is the mean over all pairs of a step, however it is
 * split into batches.
 */
export class DpoTrainer implements Disposable {
  readonly model: CausalLM;
  readonly optimizer: Optimizer;
  readonly #options: Required<DpoLossOptions>;
  readonly #tokenBudget: number;
  readonly #hasReference: boolean;
  readonly #referencePass: ForestPass;
  readonly #policyPass: ForestPass;
  readonly #gradients: GradientStep<
    [batch: EdgeTensors, reference: Tensor, signs: Tensor, weights: Tensor],
    { logprobs: Tensor; losses: Tensor }
  >;
  readonly #turns = new Turns();

  /** Errors: `argument_invalid`. */
  constructor({ model, optimizer, reference, tokenBudget = 4096, ...loss }: DpoTrainerOptions) {
    this.model = model;
    this.optimizer = optimizer;
    this.#tokenBudget = tokenBudget;
    this.#options = checked(loss);
    const frozen = reference ?? (model instanceof LoraModel ? model.base : undefined);
    this.#hasReference = frozen !== undefined;
    const { device } = optimizer.flat;
    this.#referencePass = new ForestPass({ device, model: frozen ?? model, tokenBudget });
    this.#policyPass = frozen
      ? new ForestPass({ device, model, tokenBudget })
      : this.#referencePass;
    this.#gradients = new GradientStep(
      optimizer,
      "dpo",
      (batch, referenceLogprobs, signs, weights) => {
        const { logprobs } = forestLogprobs(model, batch);
        // ratios first: they are small, and their sums lose less than those of log-probs
        const ratios = sub(logprobs, referenceLogprobs);
        const margins = reshape(matmul(signs, reshape(ratios, [ratios.size, 1])), [weights.size]);
        const losses = lossesOf(margins, this.#options);
        return { loss: mul(losses, weights).sum(), result: { logprobs, losses } };
      },
    );
  }

  /**
   * The pairs with the log-probs of the reference: of the reference model if there is one, else of the model as it is now.
   * For training without a reference model, where it comes before the first step, and to compute them once for several.
   *
   * Errors    as {@link step}.
   */
  withReference(pairs: readonly PreferencePair[]): Promise<Required<PreferencePair>[]> {
    return this.#turns.take(() => this.#withReference(pairs));
  }

  /**
   * One optimizer step. Calls wait for each other.
   *
   * Errors    `argument_invalid` for no pairs, an empty prompt or response, and a pair without reference log-probs where there
   *           is no reference model; `shape_mismatch` for log-probs of another number of tokens; `context_exceeded` for a
   *           sequence longer than the model's context, and a pair longer than the budget; `index_out_of_range` for an id
   *           beyond the vocabulary; those of the device. Nothing is changed then.
   */
  step(pairs: readonly PreferencePair[]): Promise<DpoStep> {
    return this.#turns.take(() => this.#step(pairs));
  }

  /**
   * What {@link step} would find, without the step: for pairs that are not trained on.
   *
   * Errors    as {@link step}.
   */
  measure(pairs: readonly PreferencePair[]): Promise<DpoMeasurement> {
    return this.#turns.take(() => this.#measure(pairs));
  }

  async #measure(pairs: readonly PreferencePair[]): Promise<DpoMeasurement> {
    if (pairs.length === 0) throw invalid("pairs", "none", "a measurement is a mean over pairs");
    const samples = samplesOfPairs(pairs);
    this.#check(samples);
    const references = await this.#references(pairs);
    const { logprobs } = await this.#policyPass.read(samples);
    const own = logprobs.map((row, s) =>
      ratioOf(row, references[s] as ArrayLike<number>, this.#options.isAveraged),
    );
    const ratios = pairs.map((_, i) => own.slice(2 * i, 2 * i + 2) as [number, number]);
    const losses = ratios.map(([chosen, rejected]) => lossOf(chosen - rejected, this.#options));
    const loss = losses.reduce((sum, x) => sum + x, 0) / pairs.length;
    return { loss, ...rewardsOf(ratios, this.#options.beta) };
  }

  async #withReference(pairs: readonly PreferencePair[]): Promise<Required<PreferencePair>[]> {
    const samples = samplesOfPairs(pairs);
    this.#check(samples);
    const { logprobs } = await this.#referencePass.read(samples);
    return pairs.map((pair, i) => {
      const [chosen, rejected] = logprobs.slice(2 * i) as [Float64Array, Float64Array];
      return { ...pair, reference: { chosen, rejected } };
    });
  }

  async #step(pairs: readonly PreferencePair[]): Promise<DpoStep> {
    if (pairs.length === 0) throw invalid("pairs", "none", "a step is a mean over pairs");
    const samples = samplesOfPairs(pairs);
    this.#check(samples);
    const batches = pairBatches(samples, this.#tokenBudget);
    const references = await this.#references(pairs);
    this.#gradients.reset();
    const ratios: Ratios[] = [];
    let loss = 0;
    for (const batch of batches) {
      const own = batch.pairs.flatMap((pair) => references.slice(2 * pair, 2 * pair + 2));
      const result = await this.#add(batch, own, pairs.length);
      ratios.push(...result.ratios);
      loss += result.losses.reduce((sum, x) => sum + x, 0) / pairs.length;
    }
    return { loss, ...rewardsOf(ratios, this.#options.beta), ...(await this.#gradients.step()) };
  }

  /** Adds the gradients of a batch; `references` are of its samples. */
  async #add(
    { pairs, forest }: PairBatch,
    references: readonly ArrayLike<number>[],
    count: number,
  ): Promise<{ ratios: Ratios[]; losses: Float32Array }> {
    const values = tokenValues(forest, references);
    const padded = padBatch(forest, { tokenBudget: this.#tokenBudget });
    const sizes = { rows: padded.sizes.sequences / 2, edges: padded.sizes.edges };
    const signs = marginSigns(forest, sizes, this.#options.isAveraged);
    const weights = padValues(new Float64Array(pairs.length).fill(1 / count), sizes.rows);
    const { logprobs, losses } = await this.#gradients.add(
      edgeTensors(padded),
      tensor(padValues(edgeValues(forest, values), sizes.edges)),
      tensor(signs, [sizes.rows, sizes.edges]),
      tensor(weights),
    );
    const read = (await logprobs.read()).subarray(0, forest.rows.length);
    const own = gatherEdges(forest, read).map((row, s) =>
      ratioOf(row, references[s] as ArrayLike<number>, this.#options.isAveraged),
    );
    return {
      ratios: pairs.map((_, i) => own.slice(2 * i, 2 * i + 2) as [number, number]),
      losses: ((await losses.read()) as Float32Array).subarray(0, pairs.length),
    };
  }

  #check(samples: readonly ForestSample[]): void {
    checkSamples("dpo", this.model, samples, (s) => `pairs[${s >> 1}]`);
  }

  /** Reference log-probs of each sequence: those of the pairs, computed where they are missing. */
  async #references(pairs: readonly PreferencePair[]): Promise<ArrayLike<number>[]> {
    const missing = pairs.filter(({ reference }) => !reference);
    if (missing.length > 0 && !this.#hasReference) {
      throw invalid(
        "pairs",
        `${missing.length} of ${pairs.length} without reference log-probs`,
        "there is no reference model, and the model itself changes with each step",
        "pass what trainer.withReference(pairs) gave before the first step, or a reference model",
      );
    }
    const found = (await this.#withReference(missing)).values();
    return pairs.flatMap((pair) => {
      const { chosen, rejected } = pair.reference ?? found.next().value?.reference ?? {};
      return [chosen ?? [], rejected ?? []];
    });
  }

  /** Frees the plans. Models and optimizer are the caller's. */
  [Symbol.dispose](): void {
    this.#gradients[Symbol.dispose]();
    this.#referencePass[Symbol.dispose]();
    if (this.#hasReference) this.#policyPass[Symbol.dispose]();
  }
}

/** The loss of each margin [P]. */
function lossesOf(margins: Tensor, options: Required<DpoLossOptions>): Tensor {
  const { loss, beta, labelSmoothing } = options;
  if (loss === "ipo") return square(sub(margins, 1 / (2 * beta)));
  const right = softplus(mul(margins, -beta)); // −log σ(x) = log(1 + e^−x)
  if (labelSmoothing === 0) return right;
  const wrong = softplus(mul(margins, beta));
  return add(mul(right, 1 - labelSmoothing), mul(wrong, labelSmoothing));
}

/** The same of one margin, in f64. */
function lossOf(margin: number, options: Required<DpoLossOptions>): number {
  const { loss, beta, labelSmoothing } = options;
  if (loss === "ipo") return (margin - 1 / (2 * beta)) ** 2;
  const softplusOf = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const [right, wrong] = [softplusOf(-beta * margin), softplusOf(beta * margin)];
  return (1 - labelSmoothing) * right + labelSmoothing * wrong;
}

/** Values of trained tokens [M] as those of edges [E]; samples that share an edge agree on it. */
function edgeValues({ edges, rows }: ForestBatch, values: Float64Array): Float64Array {
  const all = new Float64Array(rows.length);
  edges.forEach((edge, m) => {
    all[edge] = values[m] as number;
  });
  return all;
}

/** Log-prob of a response less that of the reference. */
function ratioOf(own: Float64Array, reference: ArrayLike<number>, isAveraged: boolean): number {
  const sum = own.reduce((total, x, t) => total + x - (reference[t] as number), 0);
  return isAveraged ? sum / own.length : sum;
}

function rewardsOf(ratios: readonly Ratios[], beta: number): Omit<DpoMeasurement, "loss"> {
  const mean = (of: (ratio: Ratios) => number): number =>
    ratios.reduce((sum, ratio) => sum + of(ratio), 0) / ratios.length;
  const [chosenReward, rejectedReward] = [mean(([c]) => beta * c), mean(([, r]) => beta * r)];
  return {
    chosenReward,
    rejectedReward,
    margin: chosenReward - rejectedReward,
    accuracy: mean(([c, r]) => Number(c > r)),
  };
}

function checked(given: DpoLossOptions): Required<DpoLossOptions> {
  const { loss = "sigmoid", beta = 0.1, labelSmoothing = 0, isAveraged = false } = given;
  if (!(Number.isFinite(beta) && beta > 0)) throw invalid("beta", beta, "it is a positive number");
  if (!(labelSmoothing >= 0 && labelSmoothing < 0.5))
    throw invalid("labelSmoothing", labelSmoothing, "it is a number from 0 to below 0.5");
  if (labelSmoothing > 0 && loss === "ipo")
    throw invalid("labelSmoothing", labelSmoothing, "the loss of IPO has none");
  return { loss, beta, labelSmoothing, isAveraged };
}

function invalid(field: string, got: unknown, why: string, fix = "correct it"): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `dpo: "${field}" cannot be used.`,
    got: String(got),
    why,
    fix,
  });
}
