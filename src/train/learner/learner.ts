/** Updates of a policy from episodes: advantages, forests, the loss, the optimizer. */
import {
  AdamW,
  type CausalLM,
  type Device,
  ForgeError,
  parametersOf,
  type Schedule,
} from "../../../engine/index.ts";
import type { ForestReport } from "../../pool/forest-report.ts";
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import type { RecordedEpisode } from "../episode/episodes.ts";
import { PURPOSE, seedOf, shuffled } from "../seeds.ts";
import { Critic } from "./critic.ts";
import { ForestPass, type ForestPassResult } from "./forest-pass.ts";
import { exchangeFacts, type GradientExchange } from "./gradient-exchange.ts";
import { PolicyUpdate, shareOf, type UpdateLosses, type UpdateOutcome } from "./policy-update.ts";
import { prepareSamples, type TrainedSample, withTrainerRows } from "./trained-samples.ts";

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
  /** With other nodes, each of which learns from a share of the samples. Clips as the optimizer is to, or leaves it to that. */
  readonly exchange?: GradientExchange;
}

/** One step of the optimizer. */
export interface Update extends UpdateLosses {
  /** Global L2 norm of the gradients before clipping. */
  readonly gradNorm: number;
  readonly learningRate: number;
}

/** What a {@link Learner.step} did. */
export interface LearnerReport {
  readonly updates: readonly Update[];
  /** What was trained on, with what the policy said of it in the first pass, before or at its update. */
  readonly samples: readonly TrainedSample[];
  /** Those of the first update: what the policy said of them, it said with the weights that the step began with. */
  readonly first: readonly TrainedSample[];
  /** Of the first pass, of this node's shares. */
  readonly forests: readonly ForestReport[];
  /** Of the first pass, at all nodes. */
  readonly trainedTokens: number;
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
  readonly #updates: PolicyUpdate;
  #steps = 0;
  #batch: readonly TrainedSample[] = [];

  /** Errors: `argument_invalid` for an algorithm with a divergence and no reference; `out_of_memory`. */
  constructor(options: LearnerOptions) {
    const { device, model, algorithm, reference } = options;
    const { tokenBudget, temperature = 1, isMerged = true, exchange } = options;
    const { criticLrScale = 1, clipNorm, ...optimizer } = options.optimizer;
    if (algorithm.kl && !reference) throw withoutReference(algorithm.name);
    this.#options = options;
    this.algorithm = algorithm;
    this.model = model;
    this.critic = algorithm.critic && new Critic(device, model, algorithm.critic.model);
    const { critic } = this;
    const critics = new Set(critic?.parameters);
    this.optimizer = new AdamW(device, [...parametersOf(model.transformer), ...critics], {
      ...optimizer,
      ...(clipNorm !== undefined && !exchange?.isClipping && { clipNorm }),
      lrScale: (parameter) => (critics.has(parameter) ? criticLrScale : 1),
    });
    const pass = { temperature, tokenBudget, isMerged };
    this.#policyPass = new ForestPass({ ...pass, device, model, ...(critic && { critic }) });
    this.#referencePass = reference && new ForestPass({ ...pass, device, model: reference });
    this.#updates = new PolicyUpdate({
      ...pass,
      ...{ model, algorithm, critic, optimizer: this.optimizer },
      ...(exchange && { exchange }),
    });
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
    const samples = prepareSamples(episodes);
    this.#batch = samples; // of a step that fails at once, too
    const prepared = await this.#prepare(samples, episodes);
    if (prepared.length === 0) throw nothingToLearn();
    this.#batch = prepared;
    const { epochs, minibatches } = this.algorithm;
    const seed = this.#options.seed ?? 0;
    const updates: Update[] = [];
    const forests: ForestReport[] = [];
    let first: readonly TrainedSample[] = [];
    let [trainedTokens, sampleTokens, forestTokens] = [0, 0, 0];
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = seedOf(seed, PURPOSE.minibatches, this.#steps, epoch);
      for (const part of partsOf(prepared, minibatches, order)) {
        if (updates.length === 0) first = part;
        const { forest, cost, ...update } = await this.#update(part, epoch === 0);
        updates.push(update);
        if (epoch === 0) {
          forests.push(forest);
          trainedTokens += cost.trained;
        }
        sampleTokens += cost.sampled;
        forestTokens += cost.computed;
      }
    }
    this.#steps++;
    const tokens = { trainedTokens, sampleTokens, forestTokens };
    return { updates, forests, samples: prepared, first, ...tokens };
  }

  [Symbol.dispose](): void {
    for (const owner of [this.#updates, this.#policyPass, this.#referencePass])
      owner?.[Symbol.dispose]();
    for (const owner of [this.optimizer, this.critic]) owner?.[Symbol.dispose]();
  }

  /** With all that their loss needs but the policy's log-probs and the weights of a minibatch. */
  async #prepare(
    samples: readonly TrainedSample[],
    episodes: readonly RecordedEpisode[],
  ): Promise<TrainedSample[]> {
    const { algorithm } = this;
    const needsPass = algorithm.old === "trainer" || this.critic || algorithm.kl?.in === "reward";
    const own = needsPass ? await this.#read(this.#policyPass, samples) : undefined;
    const reference =
      algorithm.kl && this.#referencePass
        ? await this.#read(this.#referencePass, samples)
        : undefined;
    return withTrainerRows(samples, episodes, algorithm, { own, reference });
  }

  /** What a pass says of all samples, each of which one node reads. */
  async #read(pass: ForestPass, samples: readonly TrainedSample[]): Promise<ForestPassResult> {
    const { exchange } = this.#options;
    if (!exchange) return pass.read(samples);
    const share = shareOf(samples, exchange);
    const own = await pass.read(samples.slice(share.from, share.to));
    const complete = (rows: readonly Float64Array[]): Float64Array[] =>
      samples.map(({ old }, s) => rows[s - share.from] ?? new Float64Array(old.length));
    const [logprobs, values] = [complete(own.logprobs), own.values && complete(own.values)];
    const rows = values ? [logprobs, values] : [logprobs];
    await exchangeFacts(exchange, { sums: [], rows, share, isSound: true });
    return values ? { logprobs, values } : { logprobs };
  }

  async #update(
    part: readonly TrainedSample[],
    isFirst: boolean,
  ): Promise<Update & Pick<UpdateOutcome, "forest" | "cost">> {
    const { lr } = this.#options.optimizer;
    const learningRate = typeof lr === "number" ? lr : lr(this.optimizer.flat.stepCount);
    return { ...(await this.#updates.step(part, isFirst)), learningRate };
  }
}

/** The samples of each minibatch: whole episodes, in an order of the epoch's own. */
function partsOf(
  samples: readonly TrainedSample[],
  count: number,
  seed: bigint,
): TrainedSample[][] {
  if (count === 1) return [[...samples]];
  const episodes = [...new Set(samples.map(({ episode }) => episode))];
  const part = new Map<number, number>();
  shuffled(episodes.length, seed).forEach((i, at) => {
    part.set(episodes[i] as number, Math.floor((at * count) / episodes.length));
  });
  return Array.from({ length: count }, (_, p) =>
    samples.filter(({ episode }) => part.get(episode) === p),
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
