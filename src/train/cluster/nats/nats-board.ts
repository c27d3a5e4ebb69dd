/** Groups that are handed to players through a work queue of NATS: the side of the node that collects. */
import { randomUUID } from "node:crypto";
import type { JsMsg } from "@nats-io/jetstream";
import type { ForgeError } from "../../../../engine/error.ts";
import type { Dispatcher, GroupHome, Job } from "../../episode/dispatcher.ts";
import type { PlayedGroup } from "../played-group.ts";
import type { NatsLink } from "./connection.ts";
import { type LedGroup, readHello } from "./messages.ts";
import { pause, ResultQueue } from "./result-queue.ts";
import { deleteStreams, makeStreams, namesOf, type RunNames } from "./streams.ts";

/** Options of {@link NatsBoard.open}. */
export interface NatsBoardOptions {
  readonly runId: string;
  /** Groups that are admitted and not used yet, at most: the slots of the scheduler. */
  readonly groups: number;
  /** Milliseconds after which a node that has said nothing is gone, and what it had is another's. Default 30,000. */
  readonly leaseMs?: number;
  /** Room for results. Default twice what `groups` of the largest message need: less can stop a run for ever. */
  readonly resultBytes?: number;
  /** Copies of each message, where the server is one of several. Default 1. */
  readonly replicas?: number;
  /** Told what goes wrong and is tried again, or is played again. */
  readonly onTrouble?: (error: ForgeError) => void;
}

/** Figures of a {@link NatsBoard}. */
export interface NatsBoardStats {
  /** Groups that are in the queue or with players. */
  readonly out: number;
  /** Groups that the players there are play at once. */
  readonly capacity: number;
  /** Results that are taken and not acknowledged, and those of another leader that nobody has asked for yet. */
  readonly kept: number;
  readonly early: number;
}

/** A group that is out. */
interface Out {
  readonly job: Job;
  /** In the stream; undefined until the server has it. */
  sequence: number | undefined;
}

interface Player {
  capacity: number;
  heard: number;
}

/** Signs of life within a lease. */
const BEATS = 3;

/**
 * A result is acknowledged when a committed step has passed its group, and not before: until then the server keeps it for whoever
 * leads next. Of several results of a group one is taken, by the collector; the others are acknowledged and dropped.
 *
 * A leader that takes over asks for nothing that is there: results of the leader before it are kept until their group is handed out,
 * and are then taken in its place, if the weights that they were sampled with are new enough.
 */
export class NatsBoard implements Dispatcher, AsyncDisposable {
  readonly #link: NatsLink;
  readonly #names: RunNames;
  readonly #leaseMs: number;
  readonly #onTrouble: (error: ForgeError) => void;
  readonly #id = randomUUID();
  readonly #out = new Map<number, Out>();
  readonly #players = new Map<string, Player>();
  /** By group. */
  readonly #kept = new Map<number, JsMsg>();
  readonly #early = new Map<number, { readonly group: PlayedGroup; readonly message: JsMsg }>();
  #head = 0;
  #home: GroupHome | undefined;
  #isClosed = false;
  #results: ResultQueue | undefined;
  readonly #timers: NodeJS.Timeout[] = [];
  /** Out at the last look, when nothing of them was in the queue. */
  #suspects: ReadonlySet<Out> = new Set();

  private constructor(link: NatsLink, names: RunNames, options: NatsBoardOptions) {
    this.#link = link;
    this.#names = names;
    this.#leaseMs = options.leaseMs ?? 30_000;
    this.#onTrouble = options.onTrouble ?? (() => {});
  }

  /** Makes the run's queues, or takes those over that are there, less the jobs in them. Errors: those of `NatsLink.ask`. */
  static async open(link: NatsLink, options: NatsBoardOptions): Promise<NatsBoard> {
    const { runId, groups, leaseMs = 30_000, replicas = 1 } = options;
    const { resultBytes = 2 * groups * link.maxPayload } = options;
    const names = namesOf(runId);
    await makeStreams(link, names, { resultBytes, replicas, ackWait: leaseMs });
    // nobody waits for them
    await link.ask(() => link.manager.streams.purge(names.jobs.stream));
    return new NatsBoard(link, names, options);
  }

  /** See {@link NatsBoardStats}. */
  get stats(): NatsBoardStats {
    const [out, kept, early] = [this.#out.size, this.#kept.size, this.#early.size];
    return { out, capacity: this.#capacity, kept, early };
  }

  /** Players whose lease holds. */
  get players(): number {
    return this.#players.size;
  }

  /** See `Dispatcher.attach`. */
  attach(home: GroupHome): void {
    this.#home = home;
    this.#link.connection.subscribe(this.#names.players, {
      callback: (error, { data }) => {
        if (!error) this.#attempt(() => this.#hear(data));
      },
    });
    this.#results = new ResultQueue(this.#link, this.#names, {
      onResult: (result, message) => this.#take(result, message),
      onTrouble: this.#onTrouble,
    });
    this.#every(this.#leaseMs / BEATS, () => this.#beat());
    this.#every(this.#leaseMs, () => void this.#findLost());
  }

  /** See `Dispatcher.dispatch`. Errors: why there is no connection any more, where that is for good. */
  dispatch(job: Job): boolean {
    this.#link.check();
    const early = this.#earlyOf(job);
    if (!early && this.#out.size >= this.#capacity) return false;
    const out = { job, sequence: undefined };
    this.#out.set(job.groupId, out);
    // the collector knows that it is out when this has returned
    if (early) queueMicrotask(() => this.#takeEarly(out));
    else void this.#publish(out);
    return true;
  }

  /** See `Dispatcher.cancel`. */
  cancel(groupId: number): void {
    const out = this.#out.get(groupId);
    this.#out.delete(groupId);
    if (out) this.#withdraw(out);
  }

  /** See `Dispatcher.committed`. */
  committed(head: number): void {
    this.#head = head;
    for (const [groupId, message] of this.#unused) {
      if (groupId >= head) continue;
      this.#kept.delete(groupId);
      this.#early.delete(groupId);
      message.ack();
    }
  }

  /** The run is over: nothing of it stays on the server. Dispose of it first. Errors: those of `NatsLink.ask`. */
  async remove(): Promise<void> {
    await deleteStreams(this.#link, this.#names);
  }

  /** What no committed step has used goes back, for whoever leads next. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#results?.close();
    for (const [, message] of this.#unused) message.nak();
  }

  /** What the server keeps until it is acknowledged. */
  get #unused(): [groupId: number, message: JsMsg][] {
    const early = [...this.#early].map(([id, { message }]): [number, JsMsg] => [id, message]);
    return [...this.#kept, ...early];
  }

  get #capacity(): number {
    let sum = 0;
    for (const { capacity } of this.#players.values()) sum += capacity;
    return sum;
  }

  #hear(data: Uint8Array): void {
    const { player, capacity } = readHello(data);
    if (capacity === 0) this.#players.delete(player);
    else this.#players.set(player, { capacity, heard: performance.now() });
    if (this.#capacity > this.#out.size) this.#home?.offer();
  }

  #beat(): void {
    for (const [, message] of this.#unused) message.working();
    const oldest = performance.now() - this.#leaseMs;
    for (const [name, { heard }] of this.#players) if (heard < oldest) this.#players.delete(name);
    if (this.#players.size === 0) this.#lose([...this.#out.values()]);
  }

  /** Frees what is used, and finds groups that are neither in a queue nor with a player, as when a server has lost its store. */
  async #findLost(): Promise<void> {
    const { manager } = this.#link;
    const { jobs, results } = this.#names;
    try {
      const { state } = await this.#link.ask(() => manager.streams.info(jobs.stream));
      const { num_pending, ack_floor } = await this.#link.ask(() =>
        manager.consumers.info(results.stream, results.consumer),
      );
      // a server that was killed may keep what was acknowledged, and would be full of it some day
      const seq = ack_floor.stream_seq + 1;
      // below 1 there is nothing, which the server takes for everything
      if (seq > 1) await this.#link.ask(() => manager.streams.purge(results.stream, { seq }));
      const stored = [...this.#out.values()].filter(({ sequence }) => sequence !== undefined);
      const missing = state.messages + num_pending === 0 ? stored : [];
      this.#lose(missing.filter((out) => this.#suspects.has(out)));
      this.#suspects = new Set(missing);
    } catch (error) {
      this.#onTrouble(error as ForgeError);
    }
  }

  #lose(outs: readonly Out[]): void {
    const lost = outs.filter((out) => this.#out.get(out.job.groupId) === out);
    for (const { job } of lost) this.cancel(job.groupId);
    for (const { job } of lost) this.#home?.takeBack(job.groupId);
  }

  async #publish(out: Out): Promise<void> {
    const { groupId, attempt } = out.job;
    const { jobs } = this.#names;
    const text = JSON.stringify({ leader: this.#id, ...named(out.job) });
    const options = { msgID: `${this.#id}.${groupId}.${attempt}` };
    while (!this.#isClosed && this.#out.get(groupId) === out) {
      try {
        const { seq } = await this.#link.ask(() =>
          this.#link.jetstream.publish(jobs.subject, text, options),
        );
        out.sequence = seq;
        if (this.#out.get(groupId) !== out) this.#withdraw(out);
        return;
      } catch (error) {
        this.#onTrouble(error as ForgeError);
        await pause();
      }
    }
  }

  /** Nobody is to play it any more. Who does not hear of it does it for nothing. */
  #withdraw({ job: { groupId }, sequence }: Out): void {
    const { jobs, cancelled } = this.#names;
    if (this.#link.connection.isClosed()) return;
    this.#link.connection.publish(cancelled, JSON.stringify({ groupId }));
    if (sequence === undefined) return;
    void this.#link.manager.streams.deleteMessage(jobs.stream, sequence, false).catch(() => {});
  }

  #take({ leader, group }: LedGroup, message: JsMsg): void {
    const { groupId } = group;
    const there = this.#kept.get(groupId) ?? this.#early.get(groupId)?.message;
    if (there) {
      if (there.seq !== message.seq) message.ack();
      else if (this.#kept.has(groupId)) this.#kept.set(groupId, message);
      else this.#early.set(groupId, { group, message });
      return;
    }
    const out = this.#out.get(groupId);
    if (groupId < this.#head) message.ack();
    else if (leader === this.#id) this.#adopt(group, message);
    else if (out) {
      if (isAsNewAs(group, out.job)) this.#adopt({ ...group, attempt: out.job.attempt }, message);
      else message.ack();
    } else {
      this.#early.set(groupId, { group, message });
      this.#home?.offer();
    }
  }

  /** What is there of a job already; what was sampled with older weights is of no use. */
  #earlyOf(job: Job): { readonly group: PlayedGroup } | undefined {
    const early = this.#early.get(job.groupId);
    if (!early || isAsNewAs(early.group, job)) return early;
    this.#early.delete(job.groupId);
    early.message.ack();
    return undefined;
  }

  #takeEarly(out: Out): void {
    const { groupId, attempt } = out.job;
    const early = this.#early.get(groupId);
    if (!early || this.#out.get(groupId) !== out) return;
    this.#early.delete(groupId);
    this.#adopt({ ...early.group, attempt }, early.message);
  }

  /** Where the collector refuses the result, the group is taken back, to be played by somebody else. */
  #adopt(group: PlayedGroup, message: JsMsg): void {
    const { groupId, attempt } = group;
    const out = this.#out.get(groupId);
    const isIts = out?.job.attempt === attempt;
    // of one that is refused nothing better comes from whoever else has it
    if (isIts) this.cancel(groupId);
    try {
      const verdict = this.#home?.adopt(group) ?? "unwanted";
      if (verdict === "taken") this.#kept.set(groupId, message);
      else message.ack();
    } catch (error) {
      message.ack();
      this.#onTrouble(error as ForgeError);
      if (isIts) this.#home?.takeBack(groupId);
    }
    this.#home?.offer();
  }

  #every(milliseconds: number, what: () => void): void {
    this.#timers.push(setInterval(() => this.#attempt(what), milliseconds).unref());
  }

  #attempt(what: () => void): void {
    try {
      what();
    } catch (error) {
      this.#onTrouble(error as ForgeError);
    }
  }
}

/** Whether all of a group was sampled with weights as new as a job asks for. */
function isAsNewAs({ sessions }: PlayedGroup, { version }: Job): boolean {
  return sessions.every(({ completions }) =>
    completions.every(({ policyVersions }) => policyVersions[0] >= version),
  );
}

function named({ groupId, attempt, version }: Job): Job {
  return { groupId, attempt, version };
}
