/** One step of the optimizer for samples whose advantages are known, over as many batches as they need. */
import {
  type AdamW,
  add,
  type CausalLM,
  concat,
  ForgeError,
  mul,
  reshape,
  slice,
  type Tensor,
  take,
  tensor,
  type Watch,
} from "../../../engine/index.ts";
import { buildForest } from "../../pool/forest.ts";
import type { ForestBatch } from "../../pool/forest-batch.ts";
import type { ForestReport } from "../../pool/forest-report.ts";
import { gatherEdges } from "../../pool/forest-samples.ts";
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import { policyObjective } from "../../rl/loss/policy-loss.ts";
import { valueLoss } from "../../rl/loss/value-loss.ts";
import type { Critic } from "./critic.ts";
import { forestLogprobs } from "./forest-logprobs.ts";
import {
  exchangeFacts,
  type GradientExchange,
  type Share,
  type SharedUpdate,
} from "./gradient-exchange.ts";
import { type BatchLoss, GradientStep } from "./gradient-step.ts";
import { type BatchTensors, batchTensors, type PaddedBatch, padBatch } from "./padded-batch.ts";
import { readBehind } from "./read-behind.ts";
import {
  packRows,
  ROWS,
  sequenceOffsets,
  type TrainedSample,
  withWeights,
} from "./trained-samples.ts";

/** Options of {@link PolicyUpdate}. */
export interface PolicyUpdateOptions {
  readonly model: CausalLM;
  readonly algorithm: Algorithm;
  /** Of the model's parameters and the critic's. */
  readonly optimizer: AdamW;
  readonly critic: Critic | undefined;
  /** What logits are divided by. */
  readonly temperature: number;
  /** Tokens of a batch at most. */
  readonly tokenBudget: number;
  readonly isMerged: boolean;
  /** With other nodes. Its optimizer does not clip by itself. */
  readonly exchange?: GradientExchange;
}

/** The losses of an update, each summed over its batches. */
export interface UpdateLosses {
  readonly loss: number;
  readonly policyLoss: number;
  /** Divergence in the loss, before its coefficient. */
  readonly kl: number;
  /** Before its coefficient. */
  readonly valueLoss: number;
}

/** What an update did. */
export interface UpdateOutcome extends UpdateLosses {
  /** Global L2 norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Of this node's share. */
  readonly forest: ForestReport;
  readonly cost: UpdateCost;
}

/** Tokens of an update, at all nodes: trained ones, those of samples, and those that went through the layers. */
export interface UpdateCost {
  readonly trained: number;
  readonly sampled: number;
  readonly computed: number;
}

/** A batch that is trained on. */
interface Work {
  readonly batch: ForestBatch;
  readonly padded: PaddedBatch;
}

/** What stands before the log-probs in a result. */
const LOSSES = ["loss", "policyLoss", "kl", "valueLoss"] as const;

/** Updates of a policy. */
export class PolicyUpdate implements Disposable {
  readonly #options: PolicyUpdateOptions;
  readonly #gradients: GradientStep<[BatchTensors, Tensor], Tensor>;

  constructor(options: PolicyUpdateOptions) {
    this.#options = options;
    this.#gradients = new GradientStep(
      options.optimizer,
      "policy update",
      (batch: BatchTensors, rows: Tensor) => this.#lossOf(batch, rows),
      options.exchange?.pieceSize,
    );
  }

  /**
   * Updates the weights. What the policy says of each trained token is put down with the samples, in the first pass as what
   * it said before the step, too.
   *
   * Errors    `non_finite` for a loss or gradient that is not a number, `context_exceeded` for a sample longer than the
   *           budget, and those of the device; the weights are then as they were.
   */
  async step(part: readonly TrainedSample[], isFirst: boolean): Promise<UpdateOutcome> {
    const { algorithm, tokenBudget, isMerged } = this.#options;
    const samples = withWeights(part, algorithm);
    const hasWholeTrajectories = algorithm.per === "episode" && readsSequences(algorithm);
    const share = shareOf(samples, this.#options.exchange);
    const own = samples.slice(share.from, share.to);
    const { batches, report } = buildForest(own, {
      ...{ tokenBudget, isMerged, hasWholeTrajectories },
    });
    try {
      const update = await this.#options.exchange?.begin(this.#gradients);
      const losses = await this.#accumulate(batches, own, { isFirst, watch: update?.watch });
      const { trainedTokens: trained, perRequest, tree } = report;
      const cost = { trained, sampled: perRequest.tokens, computed: tree.tokens };
      const done = update
        ? await this.#stepTogether(update, samples, { losses, cost, share, isFirst })
        : { ...(await this.#step(losses)), cost };
      return { ...done, forest: report };
    } catch (error) {
      this.#gradients.reset();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#gradients[Symbol.dispose]();
  }

  /** Steps with what was accumulated. */
  async #step(losses: UpdateLosses): Promise<UpdateLosses & Pick<UpdateOutcome, "gradNorm">> {
    if (!Number.isFinite(losses.loss)) throw notFinite(`loss ${losses.loss}`);
    const { gradNorm, isSkipped } = await this.#gradients.step();
    if (isSkipped) throw notFinite(`gradient norm ${gradNorm}`);
    return { ...losses, gradNorm };
  }

  /** Steps with what all nodes have accumulated. */
  async #stepTogether(
    update: SharedUpdate,
    samples: readonly TrainedSample[],
    {
      losses,
      cost,
      share,
      isFirst,
    }: { losses: UpdateLosses; cost: UpdateCost; share: Share; isFirst: boolean },
  ): Promise<Omit<UpdateOutcome, "forest">> {
    const isSound = await update.added();
    const updated = samples.map(({ updatedLogprobs }) => updatedLogprobs);
    const first = isFirst
      ? [samples.map((s) => s.trainerLogprobs), samples.map(({ entropies }) => entropies)]
      : [];
    const sums = await exchangeFacts(this.#options.exchange as GradientExchange, {
      sums: [...LOSSES.map((name) => losses[name]), cost.trained, cost.sampled, cost.computed],
      rows: [updated, ...first],
      ...{ share, isSound },
    });
    const [loss = 0, policyLoss = 0, kl = 0, value = 0, trained = 0, sampled = 0, computed = 0] =
      sums;
    const gradNorm = await update.step();
    if (!Number.isFinite(gradNorm)) throw notFinite(`gradient norm ${gradNorm}`);
    const all = { loss, policyLoss, kl, valueLoss: value };
    return { ...all, gradNorm, cost: { trained, sampled, computed } };
  }

  /** Adds the gradients of all batches up. */
  async #accumulate(
    batches: readonly ForestBatch[],
    samples: readonly TrainedSample[],
    { isFirst, watch }: { readonly isFirst: boolean; readonly watch: Watch | undefined },
  ): Promise<UpdateLosses> {
    const sums = { loss: 0, policyLoss: 0, kl: 0, valueLoss: 0 };
    const trainedOn = batches.filter(({ rows }) => rows.length > 0);
    await readBehind(
      workOf(trainedOn, samples, this.#options),
      ({ batch, padded }) => {
        const { trained } = padded.sizes;
        const rows = tensor(packRows(batch, samples, trained), [ROWS, trained]);
        const tensors = batchTensors(padded);
        if (watch && batch === trainedOn.at(-1)) {
          return this.#gradients.addLast(watch, tensors, rows);
        }
        return this.#gradients.add(tensors, rows);
      },
      ({ batch, padded }, read) => {
        for (const [i, name] of LOSSES.entries()) sums[name] += read[i] as number;
        const { edges } = padded.sizes;
        note(batch, samples, read.subarray(LOSSES.length), { length: edges, isFirst });
      },
    );
    return sums;
  }

  /** Traced: the loss of a batch, and with its parts what the policy says of its edges. */
  #lossOf(batch: BatchTensors, rows: Tensor): BatchLoss<Tensor> {
    const { temperature, model, algorithm, critic } = this.#options;
    const { loss, kl, entropyCoefficient } = algorithm;
    const { logprobs, entropies, hidden } = forestLogprobs(model, batch, { temperature });
    const row = (i: number): Tensor => reshape(slice(rows, 0, i, i + 1), [-1]);
    const objective = policyObjective(
      {
        loss,
        entropyCoefficient,
        ...(kl?.in === "loss" && { kl: { kind: kl.kind, coefficient: kl.coefficient } }),
      },
      {
        logprobs: take(logprobs, batch.edges),
        entropies: take(entropies, batch.edges),
        offsets: batch.offsets,
        rows: slice(rows, 0, 0, 5),
      },
    );
    let total = objective.loss;
    let value: Tensor | undefined;
    if (algorithm.critic && critic) {
      const { clip, coefficient } = algorithm.critic;
      value = valueLoss({
        values: take(critic.values(hidden, batch), batch.edges),
        ...{ old: row(5), returns: row(6), weight: row(2) },
        ...(clip !== undefined && { clip }),
      });
      total = add(total, mul(value, coefficient));
    }
    // in the order of LOSSES
    const losses = [total, objective.policy, objective.kl, value ?? tensor([0])];
    const result = concat([...losses.map((t) => reshape(t, [1])), logprobs, entropies]);
    return { loss: total, result };
  }
}

/** All samples of a node that is alone. */
export function shareOf(
  samples: readonly TrainedSample[],
  exchange: GradientExchange | undefined,
): Share {
  if (!exchange) return { from: 0, to: samples.length };
  return exchange.shareOf(
    samples.map(({ ids }) => ids.length),
    samples.map(({ episode }) => episode),
  );
}

/** Batches that are trained on, padded as they are needed. */
function* workOf(
  batches: readonly ForestBatch[],
  samples: readonly TrainedSample[],
  { algorithm, tokenBudget }: Pick<PolicyUpdateOptions, "algorithm" | "tokenBudget">,
): Iterable<Work> {
  for (const batch of batches) {
    const own = Array.from(batch.samples, (s) => samples[s] as TrainedSample);
    const offsets = readsSequences(algorithm) ? sequenceOffsets(own, algorithm.per) : batch.offsets;
    yield { batch, padded: padBatch(batch, { tokenBudget, offsets }) };
  }
}

/** Whether a term of the loss depends on more than its own token, as far as can be known. */
function readsSequences({ loss }: Pick<Algorithm, "loss">): boolean {
  if (typeof loss === "function") return true;
  return ["sequence-clip", "sequence-sum-clip", "geometric-mean"].includes(loss.form);
}

/** Puts down with samples what the policy says of their tokens: `read` has `length` log-probs, then as many entropies. */
function note(
  batch: ForestBatch,
  samples: readonly TrainedSample[],
  read: Float32Array,
  { length, isFirst }: { readonly length: number; readonly isFirst: boolean },
): void {
  const count = batch.rows.length;
  const logprobs = gatherEdges(batch, read.subarray(0, count));
  const entropies = gatherEdges(batch, read.subarray(length, length + count));
  batch.samples.forEach((s, i) => {
    const sample = samples[s] as TrainedSample;
    sample.updatedLogprobs.set(logprobs[i] as Float64Array);
    if (!isFirst) return;
    sample.trainerLogprobs.set(logprobs[i] as Float64Array);
    sample.entropies.set(entropies[i] as Float64Array);
  });
}

function notFinite(got: string): ForgeError {
  return new ForgeError({
    code: "non_finite",
    what: "learner: the update is not finite; the weights are as they were before it.",
    got,
    why: "one such update would make every weight NaN",
    fix: "lower the learning rate, or look at the saved batch for rewards or log-probs that stand out",
  });
}
