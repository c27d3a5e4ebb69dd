/** What a policy says of samples as it is now, without learning from them. */
import { type CausalLM, compile, concat, type Device, type Tensor } from "../../engine/index.ts";
import { buildForest } from "../pool/forest.ts";
import type { ForestSample } from "../pool/forest-batch.ts";
import { gatherEdges } from "../pool/forest-samples.ts";
import type { Critic } from "./critic.ts";
import { forestLogprobs } from "./forest-logprobs.ts";
import { type BatchTensors, batchTensors, padBatch } from "./padded-batch.ts";

/** Options of {@link ForestPass}. */
export interface ForestPassOptions {
  readonly device: Device;
  readonly model: CausalLM;
  readonly critic?: Critic;
  /** Default 1. */
  readonly temperature?: number;
  /** Tokens of a batch at most. */
  readonly tokenBudget: number;
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
      { device, label: "forest pass" },
    );
  }

  /** Errors: `context_exceeded` for a sample longer than the budget; those of the device. */
  async read(samples: readonly ForestSample[]): Promise<ForestPassResult> {
    const { tokenBudget, critic } = this.#options;
    const { batches } = buildForest(samples, { tokenBudget });
    const logprobs = samples.map(() => new Float64Array());
    const values = samples.map(() => new Float64Array());
    for (const batch of batches) {
      const edges = batch.rows.length;
      if (edges === 0) continue;
      const padded = padBatch(batch, { tokenBudget });
      const read = (await (await this.#run(batchTensors(padded))).read()) as Float32Array;
      const into = (rows: Float64Array[], at: number): void => {
        gatherEdges(batch, read.subarray(at, at + edges)).forEach((row, s) => {
          rows[batch.samples[s] as number] = row;
        });
      };
      into(logprobs, 0);
      if (critic) into(values, padded.sizes.edges);
    }
    return critic ? { logprobs, values } : { logprobs };
  }

  [Symbol.dispose](): void {
    this.#run[Symbol.dispose]();
  }
}
