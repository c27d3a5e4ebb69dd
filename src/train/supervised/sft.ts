/** Supervised fine-tuning: the log-probs of given tokens go up. */
import {
  type CausalLM,
  ForgeError,
  type Optimizer,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { buildForest } from "../../pool/forest.ts";
import type { ForestSample } from "../../pool/forest-batch.ts";
import { edgeCoefficients } from "../../pool/forest-samples.ts";
import { forestLogprobs } from "../learner/forest-logprobs.ts";
import { GradientStep, type StepOutcome } from "../learner/gradient-step.ts";
import { type EdgeTensors, edgeTensors, padBatch, padValues } from "../learner/padded-batch.ts";
import { checkSamples, trainedCount } from "./check-samples.ts";
import { Turns } from "./turns.ts";

/** What the model should have said: tokens, of which the trained ones count. */
export interface SftSample extends ForestSample {
  /** Of each of its trained tokens, relative to those of other samples: 0 or more. Default 1. */
  readonly weight?: number;
}

/** Options of {@link SftTrainer}. */
export interface SftTrainerOptions {
  readonly model: CausalLM;
  /** Of the model's parameters, or of its adapters. It stays the caller's. */
  readonly optimizer: Optimizer;
  /** Tokens of a batch at most, which bounds memory: a step has as many batches as it takes. Default 4096. */
  readonly tokenBudget?: number;
}

/** What {@link SftTrainer.step} did. */
export interface SftStep extends StepOutcome {
  /** Mean of −log-prob over the trained tokens of the step, by their weights, before the step; nats. */
  readonly loss: number;
  /** Trained tokens. */
  readonly tokens: number;
  /** Tokens that were computed, relative to those of the samples. */
  readonly treeTokenRatio: number;
}

/**
 * Trains a model on samples: minus the mean log-prob of their trained tokens, over all tokens of a step alike, however it
 * is split into batches. Samples are packed as forests, so what several begin with is computed once.
 */
export class SftTrainer implements Disposable {
  readonly model: CausalLM;
  readonly optimizer: Optimizer;
  readonly #tokenBudget: number;
  readonly #gradients: GradientStep<[batch: EdgeTensors, coefficients: Tensor], Tensor>;
  readonly #turns = new Turns();

  constructor({ model, optimizer, tokenBudget = 4096 }: SftTrainerOptions) {
    this.model = model;
    this.optimizer = optimizer;
    this.#tokenBudget = tokenBudget;
    this.#gradients = new GradientStep(optimizer, "sft", (batch, coefficients) => {
      const { logprobs } = forestLogprobs(model, batch);
      return { loss: logprobs.mul(coefficients).sum().neg(), result: logprobs };
    });
  }

  /**
   * One optimizer step. Calls wait for each other.
   *
   * Errors    `argument_invalid` for a weight that is negative or no number, for samples without a trained token or whose
   *           weights are all 0, and as `buildForest`; `context_exceeded` for a sample longer than the model's context or the
   *           budget; `index_out_of_range` for an id beyond the vocabulary; those of the device. Nothing is changed then.
   */
  step(samples: readonly SftSample[]): Promise<SftStep> {
    return this.#turns.take(() => this.#step(samples));
  }

  async #step(samples: readonly SftSample[]): Promise<SftStep> {
    checkSamples("sft", this.model, samples);
    const weights = samples.map(weightsOf);
    const total = weights.reduce((sum, own) => own.reduce((a, b) => a + b, sum), 0);
    if (total === 0) throw nothingTrained(samples.length);
    const tokenBudget = this.#tokenBudget;
    const { batches, report } = buildForest(samples, { tokenBudget });
    this.#gradients.reset();
    let loss = 0;
    for (const batch of batches) {
      if (batch.rows.length === 0) continue;
      const padded = padBatch(batch, { tokenBudget });
      const coefficients = edgeCoefficients(batch, weights).map((sum) => sum / total);
      const logprobs = await this.#gradients.add(
        edgeTensors(padded),
        tensor(padValues(coefficients, padded.sizes.edges)),
      );
      const read = await logprobs.read();
      coefficients.forEach((coefficient, edge) => {
        loss -= coefficient * (read[edge] as number);
      });
    }
    const outcome = await this.#gradients.step();
    const { trainedTokens, treeTokenRatio } = report;
    return { loss, tokens: trainedTokens, treeTokenRatio, ...outcome };
  }

  /** Frees the plans. Model and optimizer are the caller's. */
  [Symbol.dispose](): void {
    this.#gradients[Symbol.dispose]();
  }
}

/** The weight of a sample, once for each trained token. */
function weightsOf(sample: SftSample, i: number): Float64Array {
  const { weight = 1 } = sample;
  if (Number.isFinite(weight) && weight >= 0)
    return new Float64Array(trainedCount(sample)).fill(weight);
  throw new ForgeError({
    code: "argument_invalid",
    what: `sft: the weight of samples[${i}] cannot be used.`,
    got: String(weight),
    why: "it is a number from 0 on; what must not be said is no demonstration",
    fix: "correct it, or train on preferences with DpoTrainer",
  });
}

function nothingTrained(count: number): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "sft: there is no token to train on.",
    got: `${count} samples whose trained tokens are none, or weigh 0`,
    fix: "give samples with trained tokens",
  });
}
