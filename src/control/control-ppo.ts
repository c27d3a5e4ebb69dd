/** PPO for agents that observe a few numbers and choose among a few actions. */
import {
  type Device,
  ForgeError,
  namedParameters,
  type OptimizerState,
  Random,
} from "../../engine/index.ts";
import { ActionSampler } from "./action-sampler.ts";
import { ActorCritic } from "./actor-critic.ts";
import { type EpisodeRecord, EpisodeStatistics, type OpenEpisodes } from "./episode-statistics.ts";
import { playEpisodes } from "./evaluate.ts";
import { type Batch, PpoLearner, type PpoStep } from "./ppo-learner.ts";
import { episodeMetrics, explainedVariance, lossMetrics } from "./ppo-metrics.ts";
import { type ControlPpoSettings, ppoSettings } from "./ppo-options.ts";
import { collectRollout, type Rollout, rolloutAdvantages } from "./rollout.ts";
import { seedOf, shuffled } from "./seeds.ts";
import type { VectorEnvironment } from "./vector-environment.ts";

/** Options of {@link ControlPpo}. */
export interface ControlPpoOptions extends Partial<ControlPpoSettings> {
  readonly device: Device;
  /** What is trained in. The trainer steps it, and nobody else may. */
  readonly environment: VectorEnvironment;
}

/** Options of {@link ControlPpo.evaluate}. */
export interface ControlEvaluationOptions {
  /** Default 100. */
  readonly episodes?: number;
  /** Of the environment. Default: one that follows from the trainer's. */
  readonly seed?: number;
  /** Whether the most probable action is taken always, as Stable-Baselines3 evaluates. Default true. */
  readonly isGreedy?: boolean;
}

/** All that a run needs to go on bit for bit: plain data. */
export interface ControlPpoState {
  readonly seed: number;
  readonly iteration: number;
  readonly parameters: Readonly<Record<string, Float32Array>>;
  readonly optimizer: OptimizerState;
  readonly environment: unknown;
  readonly observations: Float32Array;
  readonly openEpisodes: OpenEpisodes;
}

/** What the seeds of a run are for: see {@link seedOf}. */
const PURPOSE = { shuffle: 1, evaluation: 2 };

/**
 * Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) with the details of CleanRL's ppo.py.
 *
 * Environments step on the host, networks on the GPU. A step of all environments costs one plan and one readback, that of
 * their actions; a step of the optimizer costs one plan and no readback. What a run draws depends on its seed and on
 * counters alone: on one adapter, runs with one seed are equal bit for bit, and a saved run goes on as if nothing had happened.
 *
 * ```ts
 * const ppo = new ControlPpo({ device, environment: cartPole({ numEnvs: 8 }), totalTimesteps: 100_000 });
 * while (!ppo.isDone) console.log(await ppo.update());
 * ```
 */
export class ControlPpo implements Disposable {
  readonly settings: ControlPpoSettings;
  readonly policy: ActorCritic;
  /** Updates in the whole run. */
  readonly numIterations: number;
  readonly #device: Device;
  readonly #environment: VectorEnvironment;
  readonly #learner: PpoLearner;
  readonly #sampler: ActionSampler;
  readonly #statistics: EpisodeStatistics;
  #observations: Float32Array;
  #iteration = 0;
  #isUpdating = false;

  /** Errors: `argument_invalid` for an option out of range. */
  constructor({ device, environment, ...options }: ControlPpoOptions) {
    const { numEnvs, observationSize, numActions } = environment;
    const settings = ppoSettings(options, numEnvs);
    const { seed, hiddenSizes } = settings;
    this.settings = settings;
    this.numIterations = Math.floor(settings.totalTimesteps / (settings.numSteps * numEnvs));
    this.policy = new ActorCritic(new Random(seed), { observationSize, numActions, hiddenSizes });
    this.#device = device;
    this.#environment = environment;
    this.#learner = new PpoLearner(device, this.policy, settings, observationSize);
    this.#sampler = new ActionSampler(device, this.policy, { numEnvs, seed });
    this.#statistics = new EpisodeStatistics(numEnvs);
    this.#observations = environment.reset(seed);
  }

  /** Updates so far. */
  get iteration(): number {
    return this.#iteration;
  }

  /** Steps of all environments so far. */
  get globalStep(): number {
    return this.#iteration * this.settings.numSteps * this.#environment.numEnvs;
  }

  /** Whether all steps of the run are taken. */
  get isDone(): boolean {
    return this.#iteration >= this.numIterations;
  }

  /**
   * Plays a rollout and trains on it. Gives the metrics of its last minibatch, and of the episodes that ended.
   *
   * Errors    `state_conflict` when the run is done, or another update is under way; `non_finite` for a loss that is not.
   *           After an error in between, restore a saved state.
   */
  async update(): Promise<Readonly<Record<string, number>>> {
    this.#claim();
    try {
      const started = performance.now();
      const { annealLr, annealClip, clipCoef, learningRate } = this.settings;
      const left = 1 - this.#iteration / this.numIterations;
      this.#learner.learningRate = annealLr ? left * learningRate : learningRate;
      const rollout = await this.#collect();
      const batch = await this.#batch(rollout);
      const collected = performance.now();
      const last = await this.#train(batch, annealClip ? left * clipCoef : clipCoef);
      this.#iteration++;
      return {
        ...(await lossMetrics(last)),
        "losses/explained_variance": explainedVariance(batch.oldValues, batch.returns),
        "charts/learning_rate": this.#learner.learningRate,
        ...episodeMetrics(this.#statistics.take()),
        "time/rollout_ms": collected - started,
        "time/train_ms": performance.now() - collected,
      };
    } finally {
      this.#isUpdating = false;
    }
  }

  /**
   * Plays episodes in an environment like the one trained in, which is reset for it. The run is not touched.
   *
   * Errors    `argument_invalid` unless the environment is another one, or for options out of range; `shape_mismatch` when
   *           it does not fit the policy; `state_conflict` during an update
   */
  async evaluate(
    environment: VectorEnvironment,
    options: ControlEvaluationOptions = {},
  ): Promise<EpisodeRecord[]> {
    this.#refuseDuringUpdate("evaluate");
    if (environment === this.#environment) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "evaluate: the environment is the one that is trained in.",
        why: "its episodes would be cut off, and the run could not be repeated",
        fix: "make another one",
      });
    }
    const { numEnvs } = environment;
    const { episodes = 100, isGreedy = true } = options;
    const seed = options.seed ?? seedOf(this.settings.seed, PURPOSE.evaluation);
    using sampler = new ActionSampler(this.#device, this.policy, { numEnvs, seed, isGreedy });
    return await playEpisodes({
      environment,
      episodes,
      seed,
      act: (observations, step) => sampler.act(observations, step),
    });
  }

  /** The state between two updates. Errors: `state_conflict` during one. */
  async save(): Promise<ControlPpoState> {
    this.#refuseDuringUpdate("save");
    const parameters: Record<string, Float32Array> = {};
    for (const [name, state] of namedParameters(this.policy)) {
      parameters[name] = (await state.read()) as Float32Array;
    }
    return {
      seed: this.settings.seed,
      iteration: this.#iteration,
      parameters,
      optimizer: await this.#learner.optimizer.save(),
      environment: this.#environment.save(),
      observations: this.#observations.slice(),
      openEpisodes: this.#statistics.save(),
    };
  }

  /**
   * Goes on from a saved state, of a trainer with the same seed, environment and networks.
   *
   * Errors    `argument_invalid`, `shape_mismatch` when it is that of another; `state_conflict` during an update
   */
  restore(state: ControlPpoState): void {
    this.#refuseDuringUpdate("restore");
    this.#checkFits(state);
    this.#learner.restore(state.parameters, state.optimizer);
    this.#environment.restore(state.environment);
    this.#observations = state.observations.slice();
    this.#statistics.restore(state.openEpisodes);
    this.#iteration = state.iteration;
  }

  /** Frees the networks and all that belongs to them. The environment is its owner's. */
  [Symbol.dispose](): void {
    this.#sampler[Symbol.dispose]();
    this.#learner[Symbol.dispose]();
  }

  async #collect(): Promise<Rollout> {
    const { numSteps } = this.settings;
    const first = this.#iteration * numSteps;
    const rollout = await collectRollout({
      environment: this.#environment,
      observations: this.#observations,
      numSteps,
      act: (observations, t) => this.#sampler.act(observations, first + t),
      statistics: this.#statistics,
    });
    const next = numSteps * this.#observations.length;
    this.#observations = rollout.observations.slice(next);
    return rollout;
  }

  async #batch(rollout: Rollout): Promise<Batch> {
    const { gamma, gaeLambda, bootstrapTruncated } = this.settings;
    const { observations, actions } = rollout;
    const oldLogprobs = await this.#learner.logprobs(rollout);
    const values = await this.#learner.values(rollout);
    const { advantages, returns } = rolloutAdvantages(rollout, values, {
      gamma,
      gaeLambda,
      ...(bootstrapTruncated && { cutOffValues: await this.#learner.cutOffValues(rollout) }),
    });
    const oldValues = values.slice(0, actions.length);
    return { observations, actions, oldLogprobs, advantages, returns, oldValues };
  }

  /** All epochs over a batch; gives the last step. */
  async #train(batch: Batch, clipCoef: number): Promise<PpoStep> {
    const { seed, updateEpochs, numMinibatches, targetKl } = this.settings;
    const size = batch.actions.length / numMinibatches;
    let last: PpoStep | undefined;
    for (let epoch = 0; epoch < updateEpochs; epoch++) {
      const words = [seed, PURPOSE.shuffle, this.#iteration, epoch];
      const order = shuffled(batch.actions.length, new Random(seedOf(...words)));
      for (let from = 0; from < order.length; from += size) {
        last = await this.#learner.step(batch, order.subarray(from, from + size), clipCoef);
      }
      if (targetKl !== undefined && last && (await last.approxKl.item()) > targetKl) break;
    }
    return last as PpoStep; // there is an epoch, and a minibatch in it
  }

  #claim(): void {
    this.#refuseDuringUpdate("update");
    if (this.isDone) {
      throw new ForgeError({
        code: "state_conflict",
        what: "update: all steps of the run are taken.",
        got: `${this.globalStep} of ${this.settings.totalTimesteps}`,
        why: "the learning rate has come to its end",
        fix: "stop when isDone, or set a larger totalTimesteps",
      });
    }
    this.#isUpdating = true;
  }

  #refuseDuringUpdate(what: string): void {
    if (!this.#isUpdating) return;
    throw new ForgeError({
      code: "state_conflict",
      what: `${what}: an update is under way.`,
      fix: "await update() first",
    });
  }

  #checkFits(state: ControlPpoState): void {
    const { seed } = this.settings;
    if (state.seed === seed && state.observations?.length === this.#observations.length) return;
    throw new ForgeError({
      code: state.seed === seed ? "shape_mismatch" : "argument_invalid",
      what: "restore: the saved state is that of another run.",
      got: `seed ${state.seed} and ${state.observations?.length ?? 0} observed numbers for seed ${seed} and ${this.#observations.length}`,
      fix: "make the trainer with the seed and the environment that were saved",
    });
  }
}
