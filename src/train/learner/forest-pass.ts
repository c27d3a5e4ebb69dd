/** What a policy says of samples as it is now, without learning from them. */
import { type CausalLM, compile, concat, type Device, type Tensor } from "../../../engine/index.ts";
import { buildForest } from "../../pool/forest.ts";
import type { ForestBatch, ForestSample } from "../../pool/forest-batch.ts";
import { gatherEdges } from "../../pool/forest-samples.ts";
import type { Critic } from "./critic.ts";
import { forestLogprobs } from "./forest-logprobs.ts";
import { type BatchTensors, batchTensors, KEPT_PLANS, padBatch } from "./padded-batch.ts";
import { readBehind } from "./read-behind.ts";

/** Options of {@link ForestPass}. */
export interface ForestPassOptions {
  readonly device: Device;
  readonly model: CausalLM;
  readonly critic?: Critic;
  /** Default 1. */
  readonly temperature?: number;
  /** Tokens of a batch at most. */
  readonly tokenBudget: number;
  /** Whether samples share the prefixes that they have in common. Default true. */
  readonly isMerged?: boolean;
}

/** Of each sample, of each of its trained tokens. */
export interface ForestPassResult {
  readonly logprobs: readonly Float64Array[];
  /** With a critic. */
  readonly values?: readonly Float64Array[];
}

/** A compiled pass over forests of samples. */
export class ForestPass implements Disposable {
  readonly #options: ForestPassOptions;
  readonly #run: ((batch: BatchTensors) => Promise<Tensor>) & Disposable;

  constructor(options: ForestPassOptions) {
    const { device, model, critic, temperature = 1 } = options;
    this.#options = options;
    this.#run = compile(
      (batch: BatchTensors) => {
        const { logprobs, hidden } = forestLogprobs(model, batch, { temperature });
        return critic ? concat([logprobs, critic.values(hidden, batch)]) : logprobs;
      },
      { device, label: "forest pass", maxPlans: KEPT_PLANS },
    );
  }

  /** Errors: `context_exceeded` for a sample longer than the budget; those of the device. */
  async read(samples: readonly ForestSample[]): Promise<ForestPassResult> {
    const { tokenBudget, critic, isMerged = true } = this.#options;
    const { batches } = buildForest(samples, { tokenBudget, isMerged });
    const logprobs = samples.map(() => new Float64Array());
    const values = samples.map(() => new Float64Array());
    const scatter = (batch: ForestBatch, own: Float32Array, into: Float64Array[]): void => {
      gatherEdges(batch, own.subarray(0, batch.rows.length)).forEach((row, s) => {
        into[batch.samples[s] as number] = row;
      });
    };
    await readBehind(
      batches.filter(({ rows }) => rows.length > 0),
      (batch) => this.#run(batchTensors(padBatch(batch, { tokenBudget }))),
      (batch, read) => {
        scatter(batch, read, logprobs);
        // behind the padded log-probs
        if (critic) scatter(batch, read.subarray(read.length / 2), values);
      },
    );
    return critic ? { logprobs, values } : { logprobs };
  }

  [Symbol.dispose](): void {
    this.#run[Symbol.dispose]();
  }
}
