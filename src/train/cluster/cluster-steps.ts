/** The steps of a training that several nodes make together. */
import { type Cluster, ClusterError, type Order } from "../../../cluster/index.ts";
import type { SharedSteps, TogetherParts } from "../together.ts";
import {
  type ClusterFigures,
  learnFrom,
  type StepReport,
  type Trainer,
  type TrainerSnapshot,
} from "../trainer.ts";
import type { OnPhase } from "../training.ts";
import type { GroupBoard, GroupPool } from "./group-pool.ts";
import type { Collecting } from "./http-job-source.ts";
import { type Offered, OfferedWork } from "./offered-work.ts";
import type { Player } from "./player.ts";
import type { StepExchange, StepState } from "./step-state.ts";
import { decodeWork, readWorkText, type StepWork, workText } from "./step-work.ts";

/** What {@link ClusterSteps} is made with. */
export interface ClusterStepsOptions extends Omit<TogetherParts, "exchange" | "reference"> {
  readonly cluster: Cluster;
  readonly state: StepState;
  readonly exchange: StepExchange;
  readonly pool: GroupPool;
  /** A node to ask to be let in. */
  readonly contact?: string;
  /** What people should know. */
  readonly onEvent: (text: string) => void;
}

type MoveOrder = Extract<Order, { type: "move" }>;

/** Milliseconds that what others have of a checkpoint may take. */
const GATHER_MS = 60_000;

/**
 * Each node learns from its share of a step's episodes. Whoever leads collects them; the others go on when it says so. A step
 * that fails anywhere comes to nothing everywhere, and is made again by those who are left, with the same episodes.
 */
export class ClusterSteps implements SharedSteps {
  readonly #options: ClusterStepsOptions;
  #trainer: Trainer<unknown> | undefined;
  #board: GroupBoard | undefined;
  #unwatch = (): void => {};
  #player: Player<unknown> | undefined;
  readonly #offered: OfferedWork;
  /** Of the step before: what a trainer goes on from. */
  #last: StepWork | undefined;
  /** Where there was no step in a cluster yet. */
  #first: TrainerSnapshot | undefined;
  /** Whether the GPU has what checkpoints hold in the place of what this node goes on with. */
  #isPresenting = false;

  constructor(options: ClusterStepsOptions) {
    this.#options = options;
    this.#offered = new OfferedWork(options.cluster.blobs);
  }

  /** Steps that are committed. */
  get steps(): number {
    return this.#options.state.manifest.step;
  }

  /** Known where episodes are collected. */
  get lagBound(): number | undefined {
    return this.#trainer?.lag.steps.bound;
  }

  /** Begins a cluster with what is on the GPU. */
  async found(snapshot: TrainerSnapshot | undefined): Promise<void> {
    const { state, cluster } = this.#options;
    const { steps = 0 } = snapshot ?? {};
    this.#first = snapshot;
    await state.capture(steps, null);
    await cluster.found(steps, state.hash);
    cluster.ready(steps, state.hash, null);
  }

  /** Asks to be let in, and has the state of the others when this is fulfilled. Errors: `ClusterError`; the signal's reason. */
  async join(signal: AbortSignal): Promise<void> {
    const { cluster, contact } = this.#options;
    if (contact !== undefined) await cluster.join(contact);
    for (;;) {
      const order = cluster.orders.take();
      if (order?.type === "fetch" && (await this.#fetch(order))) return;
      if (order?.type === "end") throw gone();
      if (order === undefined) await until(AbortSignal.any([cluster.orders.news, signal]));
      signal.throwIfAborted();
    }
  }

  /** The next step that is committed. Errors: those of learning; `cluster_left` when the node has been left out for good. */
  async step(onPhase: OnPhase): Promise<StepReport> {
    const started = performance.now();
    this.#goOn();
    const figures = this.#figures();
    for (let attempts = 1; ; ) {
      const order = await this.#nextOrder(onPhase);
      if (order.type === "end") throw gone();
      if (order.type === "fetch") await this.#fetch(order);
      else {
        onPhase("training");
        const learning = performance.now();
        const report = await this.#move(order);
        const ended = performance.now();
        const cluster = { ...figures(), attempts: attempts++ };
        if (report) return { ...report, cluster, trainMs: ended - learning, ms: ended - started };
      }
    }
  }

  /** What there is to say of the cluster, since this was called. */
  #figures(): () => Omit<ClusterFigures, "attempts"> {
    const { cluster } = this.#options;
    const before = cluster.traffic;
    return () => {
      const { bytes, ms } = cluster.traffic;
      return {
        ...{ world: cluster.record.members.length, epoch: cluster.record.epoch },
        sentBytes: bytes - before.bytes,
        ringSeconds: (ms - before.ms) / 1000,
      };
    };
  }

  async present(): Promise<void> {
    const { state, rollout } = this.#options;
    if (!(await state.present?.())) return;
    this.#isPresenting = true;
    rollout.sampler.clearCache();
  }

  /** What a checkpoint has to say of the trainer. What it holds is on the GPU then. */
  async checkpoint(): Promise<TrainerSnapshot> {
    await this.present();
    await this.#options.state.gather?.(AbortSignal.timeout(GATHER_MS));
    const trainer = this.#trainer ?? (await this.#openTrainer());
    return trainer.checkpoint();
  }

  async close(): Promise<void> {
    await this.#dropTrainer();
    await this.#dropPlayer();
    this.#options.state[Symbol.dispose]?.();
  }

  /** After {@link present}. */
  #goOn(): void {
    if (!this.#isPresenting) return;
    this.#options.state.rollback();
    this.#options.rollout.sampler.clearCache();
    this.#isPresenting = false;
  }

  /** Waits for an order, and does meanwhile what there is to do. */
  async #nextOrder(onPhase: OnPhase): Promise<Order> {
    const { cluster } = this.#options;
    for (;;) {
      const order = cluster.orders.take();
      if (order) return order;
      const { news } = cluster.orders;
      const offered = this.#offered.current;
      if (cluster.isLeading && !offered) {
        onPhase("sampling");
        await this.#collect(news);
        continue;
      }
      // what a leader that is gone has collected need not be collected again
      if (cluster.isLeading && offered)
        cluster.ready(this.steps, this.#options.state.hash, workText(offered.ref));
      if (cluster.isLeading) await until(news);
      else await this.#play(news, onPhase);
    }
  }

  /** Plays what whoever leads hands out. */
  async #play(news: AbortSignal, onPhase: OnPhase): Promise<void> {
    const { pool, openPlayer } = this.#options;
    onPhase("sampling");
    this.#player ??= openPlayer(pool.source(() => this.#leader));
    await this.#player.play(news);
  }

  get #leader(): Collecting | undefined {
    const { cluster } = this.#options;
    const { leader: node } = cluster;
    const address =
      node === undefined || node === cluster.nodeId ? undefined : cluster.addressOf(node);
    return node !== undefined && address !== undefined ? { node, address } : undefined;
  }

  /** Collects the episodes of the next step, and says so. */
  async #collect(news: AbortSignal): Promise<void> {
    await this.#dropPlayer();
    let trainer = this.#trainer;
    if (!trainer) {
      trainer = await this.#openTrainer();
      await trainer.resume();
    }
    const { cluster } = this.#options;
    // they have trained, and could not ask
    for (const member of cluster.record.members)
      if (member !== cluster.nodeId) this.#board?.alive?.(member);
    try {
      const collected = await trainer.collect(news);
      const memory = this.#options.learner.algorithm.memory?.read() ?? null;
      const about = { step: this.steps, collected, memory, trainer: trainer.snapshot() };
      this.#offered.offer({ format: 1, ...about });
    } catch (error) {
      if (!news.aborted) throw error;
      await this.#dropTrainer();
    }
  }

  /** One attempt at a step; undefined when it has come to nothing. */
  async #move({
    move,
    signal,
    isCommitted,
  }: MoveOrder): Promise<Omit<StepReport, "cluster" | "trainMs" | "ms"> | undefined> {
    const { cluster, state, exchange, learner } = this.#options;
    const { members, step } = move;
    try {
      // first of all, since it says whether this node can be in it
      const ring = await cluster.collectives(move);
      const { work, ref } = await this.#workOf(move.work, move.leader, signal);
      signal.throwIfAborted();
      await state.enter(ring, members, signal);
      exchange.enter(ring, signal);
      // an attempt that came to nothing has left its mark there
      if (work.memory !== null) learner.algorithm.memory?.write(work.memory);
      const learned = await learnFrom(learner, work.step, work.collected.episodes);
      const { isOnePolicy } = state;
      const hash = await state.stage(ring, { step, members, work: ref }, signal);
      cluster.moved(move, hash);
      if (await isCommitted) {
        await this.#commit(work);
        return { ...work.collected, step, learned, isOnePolicy };
      }
    } catch (error) {
      const isFinal = error instanceof ClusterError && error.isFinal;
      const isLost = !isFinal && (signal.aborted || error instanceof ClusterError);
      if (!isLost) state.rollback();
      if (!isLost) throw error;
      if (!signal.aborted) this.#options.onEvent(`step ${step} is made again: ${firstLine(error)}`);
      cluster.failed(move, error);
    }
    state.rollback();
    return undefined;
  }

  async #commit(work: StepWork): Promise<void> {
    const { state, exchange, cluster, rollout } = this.#options;
    state.commit();
    exchange.commit();
    this.#last = work;
    this.#offered.withdraw();
    if (this.#trainer) this.#trainer.stepped();
    else rollout.sampler.policyVersion = this.steps;
    cluster.ready(this.steps, state.hash, null);
  }

  /** The work of an order: this node's own, or that of whoever leads. */
  async #workOf(text: string, leader: string, signal: AbortSignal): Promise<Offered> {
    const { cluster } = this.#options;
    const ref = readWorkText(text);
    const known = this.#offered.current;
    if (known?.ref.hash === ref.hash) return known;
    await this.#dropTrainer();
    return this.#offered.adopt(await cluster.fetchBlob(ref, [leader], { signal }));
  }

  /** Whether the state is there. */
  async #fetch({ fetch, signal }: Extract<Order, { type: "fetch" }>): Promise<boolean> {
    const { cluster, state, rollout } = this.#options;
    try {
      await state.fetch(fetch, signal);
    } catch (error) {
      if (!signal.aborted && !(error instanceof ClusterError)) throw error;
      return false;
    }
    await this.#dropTrainer();
    const { work, step } = state.manifest;
    const bytes = work && cluster.blobs.get(work.hash);
    this.#last = bytes ? decodeWork(bytes) : undefined;
    rollout.sampler.policyVersion = step;
    cluster.ready(step, state.hash, null);
    return true;
  }

  async #openTrainer(): Promise<Trainer<unknown>> {
    const { openTrainer, slots, pool } = this.#options;
    const board = await pool.open(slots);
    this.#board = board;
    this.#unwatch = this.#options.cluster.whenLost((node) => board.gone?.(node));
    // as many for each: who is done sooner is handed more
    const localGroups = (): number => Math.ceil(slots / (1 + board.players));
    const from = this.#last?.trainer ?? this.#first;
    const trainer = openTrainer(from, { elsewhere: board, localGroups });
    if (this.#last) trainer.stepped();
    this.#trainer = trainer;
    return trainer;
  }

  async #dropPlayer(): Promise<void> {
    const player = this.#player;
    this.#player = undefined;
    await player?.close();
  }

  async #dropTrainer(): Promise<void> {
    const trainer = this.#trainer;
    const board = this.#board;
    [this.#trainer, this.#board] = [undefined, undefined];
    this.#unwatch();
    this.#offered.withdraw();
    await trainer?.close();
    await board?.[Symbol.asyncDispose]();
  }
}

/** Fulfilled when a signal is aborted. */
async function until(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] as string;
}

function gone(): ClusterError {
  return new ClusterError({
    code: "connection_closed",
    what: "the node has left its cluster.",
    fix: "start it again to join anew",
  });
}
