/** Log-probs of the trained tokens of samples under a model that is not trained on them now: a reference, or a held-out loss. */
import {
  type CausalLM,
  type Compiled,
  compile,
  type Device,
  type Tensor,
} from "../../engine/index.ts";
import { buildForest } from "../pool/forest.ts";
import type { ForestSample } from "../pool/forest-batch.ts";
import { gatherEdges } from "../pool/forest-samples.ts";
import { checkSamples } from "./check-samples.ts";
import { type ForestLogprobsOptions, forestLogprobs } from "./forest-logprobs.ts";
import { type EdgeTensors, edgeTensors, padBatch } from "./padded-batch.ts";
import { Turns } from "./turns.ts";

/** Options of {@link ForestScorer}. */
export interface ForestScorerOptions extends ForestLogprobsOptions {
  readonly device: Device;
  readonly model: CausalLM;
  /** Tokens of a batch at most. Default 4096. */
  readonly tokenBudget?: number;
}

/** Scores samples by the way that training takes: merged as a forest, without a cache. */
export class ForestScorer implements Disposable {
  readonly #model: CausalLM;
  readonly #tokenBudget: number;
  readonly #run: Compiled<[batch: EdgeTensors], Tensor>;
  readonly #turns = new Turns();

  constructor({ device, model, tokenBudget = 4096, ...options }: ForestScorerOptions) {
    this.#model = model;
    this.#tokenBudget = tokenBudget;
    this.#run = compile((batch: EdgeTensors) => forestLogprobs(model, batch, options).logprobs, {
      device,
      label: "forest scorer",
    });
  }

  /**
   * Log-probs of each sample's trained tokens, in nats. Calls wait for each other.
   *
   * Errors    `argument_invalid`, `context_exceeded`, `index_out_of_range` as `SftTrainer.step`; those of the device.
   */
  logprobs(samples: readonly ForestSample[]): Promise<Float64Array[]> {
    return this.#turns.take(async () => {
      checkSamples("score", this.#model, samples);
      const tokenBudget = this.#tokenBudget;
      const all: Float64Array[] = samples.map(() => new Float64Array(0));
      for (const batch of buildForest(samples, { tokenBudget }).batches) {
        const count = batch.rows.length;
        if (count === 0) continue;
        const scores = await this.#run(edgeTensors(padBatch(batch, { tokenBudget })));
        const logprobs = (await scores.read()).subarray(0, count);
        gatherEdges(batch, logprobs).forEach((own, s) => {
          all[batch.samples[s] as number] = own;
        });
      }
      return all;
    });
  }

  /** Frees the plans. */
  [Symbol.dispose](): void {
    this.#run[Symbol.dispose]();
  }
}
