/** Updates of a policy from episodes: advantages, forests, the loss, the optimizer. */
import {
  AdamW,
  add,
  type CausalLM,
  concat,
  type Device,
  ForgeError,
  mul,
  parametersOf,
  reshape,
  type Schedule,
  slice,
  type Tensor,
  take,
  tensor,
} from "../../engine/index.ts";
import { buildForest } from "../pool/forest.ts";
import type { ForestBatch } from "../pool/forest-batch.ts";
import type { ForestReport } from "../pool/forest-report.ts";
import { gatherEdges } from "../pool/forest-samples.ts";
import type { Algorithm } from "../rl/algorithm/algorithm.ts";
import { policyObjective } from "../rl/loss/policy-loss.ts";
import { valueLoss } from "../rl/loss/value-loss.ts";
import { Critic } from "./critic.ts";
import type { RecordedEpisode } from "./episodes.ts";
import { forestLogprobs } from "./forest-logprobs.ts";
import { ForestPass } from "./forest-pass.ts";
import { type BatchLoss, GradientStep } from "./gradient-step.ts";
import { type BatchTensors, batchTensors, padBatch } from "./padded-batch.ts";
import { PURPOSE, seedOf, shuffled } from "./seeds.ts";
import {
  packRows,
  prepareSamples,
  ROWS,
  type TrainedSample,
  withTrainerRows,
  withWeights,
} from "./trained-samples.ts";

/** Options of {@link Learner}. */
export interface LearnerOptions {
  readonly device: Device;
  /** What is trained: all of its parameters, or its adapters. */
  readonly model: CausalLM;
  readonly algorithm: Algorithm;
  readonly optimizer: {
    readonly lr: number | Schedule;
    readonly betas?: readonly [number, number];
    readonly eps?: number;
    readonly weightDecay?: number;
    readonly clipNorm?: number;
    /** Factor on the learning rate of a critic. Default 1. */
    readonly criticLrScale?: number;
  };
  /** What logits are divided by: the temperature of sampling. Default 1. */
  readonly temperature?: number;
  /** Tokens of a batch at most; what an optimizer step has more is spread over several, with the same gradient. */
  readonly tokenBudget: number;
  /** Order of minibatches. Default 0. */
  readonly seed?: number;
  /** Where a divergence is measured from; needed by algorithms with one. */
  readonly reference?: CausalLM;
  /** Whether samples share the prefixes that they have in common. Default true; false is for comparisons. */
  readonly isMerged?: boolean;
}

/** One step of the optimizer. */
export interface Update {
  readonly loss: number;
  readonly policyLoss: number;
  /** Divergence in the loss, before its coefficient. */
  readonly kl: number;
  /** Before its coefficient. */
  readonly valueLoss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
}

/** What a {@link Learner.step} did. */
export interface LearnerReport {
  readonly updates: readonly Update[];
  /** What was trained on, with what the policy said of it in the first pass, before or at its update. */
  readonly samples: readonly TrainedSample[];
  /** Of the first pass. */
  readonly forests: readonly ForestReport[];
  /** Trained tokens, samples' prefixes included, over all passes; and those that went through the layers. */
  readonly sampleTokens: number;
  readonly forestTokens: number;
}

/** A policy and its optimizer. */
export class Learner implements Disposable {
  readonly algorithm: Algorithm;
  readonly model: CausalLM;
  readonly optimizer: AdamW;
  readonly critic: Critic | undefined;
  readonly #options: LearnerOptions;
  readonly #policyPass: ForestPass;
  readonly #referencePass: ForestPass | undefined;
  readonly #gradients: GradientStep<[BatchTensors, Tensor], Tensor>;
  #steps = 0;
  #batch: readonly TrainedSample[] = [];

  /** Errors: `argument_invalid` for an algorithm with a divergence and no reference; `out_of_memory`. */
  constructor(options: LearnerOptions) {
    const { device, model, algorithm, tokenBudget, temperature = 1, reference } = options;
    const { criticLrScale = 1, ...optimizer } = options.optimizer;
    if (algorithm.kl && !reference) throw withoutReference(algorithm.name);
    this.#options = options;
    this.algorithm = algorithm;
    this.model = model;
    this.critic = algorithm.critic && new Critic(device, model, algorithm.critic.model);
    const critics = this.critic?.parameters ?? [];
    const isCritics = new Set(critics);
    this.optimizer = new AdamW(device, [...parametersOf(model.transformer), ...critics], {
      ...optimizer,
      lrScale: (parameter) => (isCritics.has(parameter) ? criticLrScale : 1),
    });
    const pass = { device, temperature, tokenBudget };
    this.#policyPass = new ForestPass({
      ...{ ...pass, model },
      ...(this.critic && { critic: this.critic }),
    });
    this.#referencePass = reference && new ForestPass({ ...pass, model: reference });
    this.#gradients = new GradientStep(
      this.optimizer,
      "policy update",
      (batch: BatchTensors, rows: Tensor) => this.#lossOf(batch, rows),
    );
  }

  /** Calls of {@link step} so far. */
  get steps(): number {
    return this.#steps;
  }

  /** What the step under way, or the last one, was trained on. */
  get batch(): readonly TrainedSample[] {
    return this.#batch;
  }

  /** Goes on with this number of steps, after the optimizer was restored. */
  resume(steps: number): void {
    this.#steps = steps;
  }

  /**
   * Learns from the episodes of an optimizer step: `epochs` passes of `minibatches` updates each.
   *
   * Errors    `non_finite` for a loss or gradient that is not a number, after which the weights are as they were before
   *           that update; `context_exceeded` for a sample longer than the budget; `argument_invalid` when no episode takes part.
   */
  async step(episodes: readonly RecordedEpisode[]): Promise<LearnerReport> {
    const prepared = await this.#prepare(episodes);
    if (prepared.length === 0) throw nothingToLearn();
    this.#batch = prepared;
    const { epochs, minibatches } = this.algorithm;
    const seed = this.#options.seed ?? 0;
    const updates: Update[] = [];
    const forests: ForestReport[] = [];
    const [sampleTokens, forestTokens] = [{ count: 0 }, { count: 0 }];
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = seedOf(seed, PURPOSE.minibatches, this.#steps, epoch);
      for (const part of partsOf(prepared, episodes.length, minibatches, order)) {
        const { update, report } = await this.#update(part, epoch === 0);
        updates.push(update);
        if (epoch === 0) forests.push(report);
        sampleTokens.count += report.perRequest.tokens;
        forestTokens.count += report.tree.tokens;
      }
    }
    this.#steps++;
    return {
      updates,
      forests,
      samples: prepared,
      sampleTokens: sampleTokens.count,
      forestTokens: forestTokens.count,
    };
  }

  [Symbol.dispose](): void {
    for (const owner of [this.#gradients, this.#policyPass, this.#referencePass])
      owner?.[Symbol.dispose]();
    for (const owner of [this.optimizer, this.critic]) owner?.[Symbol.dispose]();
  }

  /** Samples with all that their loss needs but the policy's log-probs: advantages, old log-probs, weights. */
  async #prepare(episodes: readonly RecordedEpisode[]): Promise<TrainedSample[]> {
    const { algorithm } = this;
    const samples = prepareSamples(episodes, algorithm);
    const needsPass = algorithm.old === "trainer" || this.critic || algorithm.kl?.in === "reward";
    const own = needsPass ? await this.#policyPass.read(samples) : undefined;
    const reference = algorithm.kl ? await this.#referencePass?.read(samples) : undefined;
    return withTrainerRows(samples, episodes, algorithm, { own, reference });
  }

  async #update(
    part: readonly TrainedSample[],
    isFirst: boolean,
  ): Promise<{ update: Update; report: ForestReport }> {
    const { tokenBudget, isMerged = true } = this.#options;
    const samples = withWeights(part, this.algorithm);
    const { batches, report } = buildForest(samples, { tokenBudget, isMerged });
    const sums = { loss: 0, policyLoss: 0, kl: 0, valueLoss: 0 };
    for (const batch of batches) {
      if (batch.rows.length === 0) continue;
      const read = await this.#accumulate(batch, samples);
      const [loss, policyLoss, kl, value] = read.subarray(0, 4);
      sums.loss += loss as number;
      sums.policyLoss += policyLoss as number;
      sums.kl += kl as number;
      sums.valueLoss += value as number;
      if (isFirst) note(batch, samples, read.subarray(4));
    }
    const learningRate = this.#learningRate();
    const { gradNorm, isSkipped } = await this.#gradients.step();
    const update = { ...sums, gradNorm, learningRate };
    if (isSkipped || !Number.isFinite(sums.loss)) throw notFinite(update);
    return { update, report };
  }

  async #accumulate(batch: ForestBatch, samples: readonly TrainedSample[]): Promise<Float32Array> {
    const { tokenBudget } = this.#options;
    const padded = padBatch(batch, { tokenBudget });
    const rows = packRows(batch, samples, padded.sizes.trained);
    const numbers = await this.#gradients.add(
      batchTensors(padded),
      tensor(rows, [ROWS, padded.sizes.trained]),
    );
    const read = (await numbers.read()) as Float32Array;
    // what comes behind the losses: E log-probs, E entropies, without their padding
    const { edges } = padded.sizes;
    const real = padded.real.edges;
    const kept = new Float32Array(4 + 2 * real);
    kept.set(read.subarray(0, 4));
    kept.set(read.subarray(4, 4 + real), 4);
    kept.set(read.subarray(4 + edges, 4 + edges + real), 4 + real);
    return kept;
  }

  /** Traced: the loss of a batch, and with its parts what the policy says of its edges. */
  #lossOf(batch: BatchTensors, rows: Tensor): BatchLoss<Tensor> {
    const { temperature = 1, model } = this.#options;
    const { loss, kl, entropyCoefficient, critic } = this.algorithm;
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
    if (critic && this.critic) {
      value = valueLoss({
        values: take(this.critic.values(hidden, batch), batch.edges),
        ...{ old: row(5), returns: row(6), weight: row(2) },
        ...(critic.clip !== undefined && { clip: critic.clip }),
      });
      total = add(total, mul(value, critic.coefficient));
    }
    const scalars = [total, objective.policy, objective.kl, value ?? tensor([0])];
    const result = concat([...scalars.map((t) => reshape(t, [1])), logprobs, entropies]);
    return { loss: total, result };
  }

  #learningRate(): number {
    const { lr } = this.#options.optimizer;
    return typeof lr === "number" ? lr : lr(this.optimizer.flat.stepCount);
  }
}

/** Puts what the policy says of the edges of a batch down with its samples. */
function note(batch: ForestBatch, samples: readonly TrainedSample[], read: Float32Array): void {
  const count = batch.rows.length;
  const logprobs = gatherEdges(batch, read.subarray(0, count));
  const entropies = gatherEdges(batch, read.subarray(count, 2 * count));
  batch.samples.forEach((s, i) => {
    const sample = samples[s] as TrainedSample;
    sample.trainerLogprobs.set(logprobs[i] as Float64Array);
    sample.entropies.set(entropies[i] as Float64Array);
  });
}

/** The samples of each minibatch: whole episodes, in an order of the epoch's own. */
function partsOf(
  samples: readonly TrainedSample[],
  episodes: number,
  count: number,
  seed: bigint,
): TrainedSample[][] {
  if (count === 1) return [[...samples]];
  const there = [...new Set(samples.map(({ episode }) => episode))];
  const order = shuffled(there.length, seed);
  const part = new Uint32Array(episodes);
  order.forEach((i, at) => {
    part[there[i] as number] = Math.floor((at * count) / there.length);
  });
  return Array.from({ length: count }, (_, p) =>
    samples.filter(({ episode }) => part[episode] === p),
  ).filter((own) => own.length > 0);
}

function withoutReference(name: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `learner: the algorithm ${name} needs a reference.`,
    why: "it has a divergence from one",
    fix: "pass `reference`, or leave `kl` out of the algorithm",
  });
}

function nothingToLearn(): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "learner: no episode takes part.",
    why: "each failed, was cut off and masked, or has no reward",
    fix: "give groups with at least one episode that has a reward",
  });
}

function notFinite({ loss, gradNorm }: Update): ForgeError {
  return new ForgeError({
    code: "non_finite",
    what: "learner: the update is not finite; the weights are as they were before it.",
    got: `loss ${loss}, gradient norm ${gradNorm}`,
    why: "one such update would make every weight NaN",
    fix: "lower the learning rate, or look at the saved batch for rewards or log-probs that stand out",
  });
}
