/** The loop of Forge: episodes are played, finished groups are taken, the policy learns, and its weights are live. */

import { ForgeError } from "../../engine/index.ts";
import type { Environment } from "../agent/environment.ts";
import { DataPool } from "../pool/pool.ts";
import type { PoolSnapshot } from "../pool/pool-snapshot.ts";
import type { GroupRecord } from "../pool/record.ts";
import { Scheduler, type SchedulerOptions } from "../pool/scheduler.ts";
import type { SchedulerSnapshot } from "../pool/scheduler-snapshot.ts";
import { type SpeedBaselineState, SpeedBaselines } from "../rl/reward/speed.ts";
import { zeroVarianceGroups } from "../rl/reward/zero-variance.ts";
import { Collector } from "./episode/collector.ts";
import type { Dispatcher } from "./episode/dispatcher.ts";
import type { EpisodeSampling } from "./episode/episode.ts";
import { episodesOf, type RecordedEpisode, type RewardOptions } from "./episode/episodes.ts";
import { reasonOf } from "./episode/group-player.ts";
import type { Rollout } from "./episode/rollout.ts";
import type { Learner, LearnerReport } from "./learner/learner.ts";

/** Options of {@link Trainer}. */
export interface TrainerOptions<Task> {
  readonly environment: Environment<Task>;
  readonly rollout: Rollout;
  readonly learner: Learner;
  readonly sampling: EpisodeSampling;
  readonly reward: RewardOptions;
  /** Episodes of each task. */
  readonly groupSize: number;
  readonly scheduler: SchedulerOptions;
  /** Tokens that finished groups may hold before agents wait. */
  readonly poolCapacityTokens: number;
  readonly seed: number;
  /** How long an episode, and a group, may take, in milliseconds. Only in runs that are not deterministic. */
  readonly episodeTimeout?: number;
  readonly groupTimeout?: number;
  /** Others that play, and groups that are played here at once; see `CollectorOptions`. */
  readonly elsewhere?: Dispatcher;
  readonly localGroups?: () => number;
}

/** What a step is made of. */
export interface CollectedStep {
  /** Of all groups taken, those without a part too. */
  readonly episodes: readonly RecordedEpisode[];
  /** Of each group, in steps. */
  readonly lags: readonly number[];
  /** Groups that were dropped since all their rewards were equal, and ones that came to nothing. */
  readonly droppedGroups: number;
  readonly buriedGroups: number;
  /** What the last agent that failed meanwhile threw, in one line. */
  readonly agentError: string | undefined;
  /** Here, and in groups that came from elsewhere meanwhile. */
  readonly sampledTokens: number;
  readonly rolloutMs: number;
  /** From the last group to the first pass: rewards. */
  readonly dataMs: number;
}

/** What a step did. */
export interface StepReport extends CollectedStep {
  /** Number of the step, from 1 on. */
  readonly step: number;
  /** Undefined when no episode took part. */
  readonly learned: LearnerReport | undefined;
  /** Whether samples of one version are of the same weights, whichever node has played them. Default true. */
  readonly isOnePolicy?: boolean;
  readonly trainMs: number;
  readonly ms: number;
  /** Where several nodes have made it. */
  readonly cluster?: ClusterFigures;
}

/** What the other nodes had to do with a step. */
export interface ClusterFigures {
  /** Trainers that made it. */
  readonly world: number;
  readonly epoch: number;
  /** Times that it was tried, with the one that counts. */
  readonly attempts: number;
  /** Of the ring, by this node, in all of them. */
  readonly sentBytes: number;
  readonly ringSeconds: number;
}

/** A trainer between two steps, less weights and optimizer: plain JSON. */
export interface TrainerSnapshot {
  readonly format: 1;
  readonly steps: number;
  readonly now: number;
  readonly scheduler: SchedulerSnapshot;
  readonly pool: PoolSnapshot;
  readonly speedBaselines: SpeedBaselineState;
}

/** Groups in a row that may come to nothing before a run gives up: this many times as many as there are slots. */
const PATIENCE = 4;

/** See the file's head. */
export class Trainer<Task> {
  readonly #options: TrainerOptions<Task>;
  readonly #scheduler: Scheduler;
  readonly #pool: DataPool;
  readonly #collector: Collector<Task>;
  readonly #baselines: SpeedBaselines;
  #steps: number;
  #buried = 0;
  #dataMs = 0;
  #buriedInRow = 0;

  /** @param snapshot what {@link checkpoint} gave, to go on from there; weights and optimizer are restored before */
  constructor(options: TrainerOptions<Task>, snapshot?: TrainerSnapshot) {
    const { rollout, environment, sampling, groupSize, seed } = options;
    if (snapshot && snapshot.format !== 1) throw unknownFormat(snapshot.format);
    this.#options = options;
    if (snapshot) rollout.resume(snapshot.now);
    const pool = {
      capacityTokens: options.poolCapacityTokens,
      clock: rollout.clock,
      onFinished: (group: GroupRecord) => this.#finish(group),
    };
    this.#scheduler = snapshot
      ? Scheduler.restore(options.scheduler, snapshot.scheduler)
      : new Scheduler(options.scheduler);
    this.#pool = snapshot ? DataPool.restore(pool, snapshot.pool) : new DataPool(pool);
    const { speedWindow: window = 32, speedMinimum: minimum = 1 } = options.reward;
    this.#baselines = new SpeedBaselines({ window, minimum }, snapshot?.speedBaselines);
    this.#steps = snapshot?.steps ?? 0;
    const { episodeTimeout, groupTimeout, elsewhere, localGroups } = options;
    this.#collector = new Collector({
      ...{ environment, language: rollout.language, sampling, groupSize, seed },
      ...{ scheduler: this.#scheduler, pool: this.#pool },
      ...{ desk: rollout.desk, clock: rollout.clock },
      ...(episodeTimeout !== undefined && { episodeTimeout }),
      ...(groupTimeout !== undefined && { groupTimeout }),
      ...(elsewhere && { elsewhere }),
      ...(localGroups !== undefined && { localGroups }),
    });
    rollout.sampler.policyVersion = this.#scheduler.version;
    options.learner.resume(this.#steps);
  }

  /** Steps so far. */
  get steps(): number {
    return this.#steps;
  }

  /** The bounds and histograms of the policy's lag. */
  get lag(): Scheduler["lag"] {
    return this.#scheduler.lag;
  }

  /**
   * Takes the groups of a step, learns from them, and makes the weights live.
   *
   * Errors    those of {@link Learner.step}; what a task throws; `environment_failed` for a component of the reward that throws,
   *           and when every episode fails; the signal's reason, after which the trainer is only good for {@link close}.
   *
   * @param onLearning called when the groups are there
   */
  async step(signal?: AbortSignal, onLearning?: () => void): Promise<StepReport> {
    const { learner } = this.#options;
    const started = performance.now();
    const collected = await this.collect(signal);
    onLearning?.();
    const learning = performance.now();
    const learned = await learnFrom(learner, this.#steps, collected.episodes);
    this.stepped();
    const ended = performance.now();
    const ms = { trainMs: ended - learning, ms: ended - started };
    return { ...collected, step: this.#steps, learned, ...ms };
  }

  /** Takes the groups of a step. Then {@link stepped}, when its weights are live. Errors: as {@link step}. */
  async collect(signal?: AbortSignal): Promise<CollectedStep> {
    const { rollout } = this.#options;
    const before = { ms: rollout.ms, tokens: this.#sampledTokens };
    this.#buried = 0;
    this.#dataMs = 0;
    const { episodes, lags, droppedGroups } = await this.#collect(signal);
    return {
      ...{ episodes, lags, droppedGroups, buriedGroups: this.#buried, dataMs: this.#dataMs },
      agentError: this.#takeAgentError(),
      sampledTokens: this.#sampledTokens - before.tokens,
      rolloutMs: rollout.ms - before.ms,
    };
  }

  /** The weights of the step that was collected are live. */
  stepped(): void {
    this.#options.rollout.sampler.policyVersion = this.#scheduler.stepped();
    this.#steps++;
    this.#options.elsewhere?.committed?.(this.#scheduler.head);
  }

  /** What has to be kept to go on from here, with episodes under way as they are: a trainer restored from it begins them again. */
  snapshot(): TrainerSnapshot {
    return {
      format: 1,
      steps: this.#steps,
      now: this.#options.rollout.clock.now(),
      scheduler: this.#scheduler.snapshot(),
      pool: this.#pool.snapshot(),
      speedBaselines: this.#baselines.state,
    };
  }

  /**
   * What has to be kept to go on from here. In a deterministic run episodes under way begin again, here as in the run that is
   * resumed, so that both are the same run; in another they go on, and begin again only where it is resumed.
   */
  async checkpoint(): Promise<TrainerSnapshot> {
    if (this.#options.rollout.isDeterministic) await this.#restart();
    return this.snapshot();
  }

  /** Begins the episodes that were under way in the snapshot that this was made from. Once, before the first step. */
  async resume(): Promise<void> {
    await this.#restart();
  }

  /** Ends the episodes under way. */
  async close(): Promise<void> {
    const { rollout } = this.#options;
    await this.#collector.close(() => rollout.drain());
  }

  get #sampledTokens(): number {
    return this.#options.rollout.sampler.stats.sampledTokens + this.#collector.adoptedTokens;
  }

  async #restart(): Promise<void> {
    const { rollout } = this.#options;
    await this.#collector.restart(() => rollout.drain());
    // a resumed run finds nothing in the cache either, and takes as many turns
    rollout.sampler.clearCache();
  }

  async #collect(
    signal: AbortSignal | undefined,
  ): Promise<{ episodes: RecordedEpisode[]; lags: number[]; droppedGroups: number }> {
    const { rollout, learner } = this.#options;
    const { groupsPerStep } = this.#scheduler;
    const refills = learner.algorithm.dynamicSampling?.refillCap;
    const groups: RecordedEpisode[][] = [];
    const lags: number[] = [];
    let droppedGroups = 0;
    while (groups.length < groupsPerStep) {
      this.#collector.admit();
      await rollout.rest(signal);
      const ticket = this.#scheduler.take();
      if (!ticket) {
        this.#checkPatience();
        // where groups came to nothing others begin before anybody waits
        if (this.#scheduler.inFlight === this.#scheduler.slots) await rollout.turn(signal);
        continue;
      }
      const started = performance.now();
      const episodes = this.#episodesOf(this.#pool.take(ticket.id));
      this.#dataMs += performance.now() - started;
      const isEqual = zeroVariance(episodes);
      if (isEqual && refills !== undefined && droppedGroups < refills * groupsPerStep) {
        this.#scheduler.drop(ticket.id);
        droppedGroups++;
        continue;
      }
      groups.push(episodes);
      lags.push(this.#scheduler.version - ticket.version);
    }
    return { episodes: groups.flat(), lags, droppedGroups };
  }

  #episodesOf(group: GroupRecord): RecordedEpisode[] {
    const { environment, reward, learner } = this.#options;
    const { overlong } = learner.algorithm;
    return episodesOf(group, environment, this.#baselines, {
      ...reward,
      ...(typeof overlong === "object" && { overlong }),
    });
  }

  #finish(group: GroupRecord): void {
    this.#collector.finished(group);
    this.#options.rollout.desk.wake();
    if (group.isTrainable) {
      this.#buriedInRow = 0;
      this.#scheduler.finish(group.groupId);
      return;
    }
    this.#buried++;
    this.#buriedInRow++;
    this.#scheduler.bury(group.groupId);
  }

  #takeAgentError(): string | undefined {
    const error = this.#collector.takeAgentError();
    return error === undefined ? undefined : reasonOf(error);
  }

  #checkPatience(): void {
    if (this.#buriedInRow < PATIENCE * this.#scheduler.slots) return;
    const cause = this.#collector.takeAgentError();
    throw new ForgeError({
      code: "environment_failed",
      what: "trainer: every episode fails.",
      got: `${this.#buriedInRow} groups in a row without one that can be trained on`,
      why: cause === undefined ? "each was cancelled" : `the last agent threw: ${reasonOf(cause)}`,
      fix: "play one task by hand with `forge-gpu eval`, and mend the environment",
      cause,
    });
  }
}

/** One step of a learner, the first being 0; undefined where no episode takes part. Errors: those of {@link Learner.step}. */
export async function learnFrom(
  learner: Learner,
  step: number,
  episodes: readonly RecordedEpisode[],
): Promise<LearnerReport | undefined> {
  // a step in which nobody took part counts too: a resumed run knows of no other number
  learner.resume(step);
  return episodes.some(({ takesPart }) => takesPart) ? learner.step(episodes) : undefined;
}

/** Whether all episodes of a group that take part have one reward. */
function zeroVariance(episodes: readonly RecordedEpisode[]): boolean {
  const rewards = episodes.map(({ reward }) => reward);
  return (
    zeroVarianceGroups(
      rewards,
      episodes.map(() => 0),
    ).length > 0
  );
}

function unknownFormat(format: unknown): ForgeError {
  return new ForgeError({
    code: "checkpoint_invalid",
    what: "trainer: the checkpoint is of no known format.",
    got: String(format),
    fix: "resume with the version of forge-gpu that wrote it",
  });
}
