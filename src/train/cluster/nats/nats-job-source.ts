/** Where a player gets its groups from a work queue of NATS, and hands them in. */
import type { Consumer, ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import type { Subscription } from "@nats-io/transport-node";
import { ForgeError } from "../../../../engine/error.ts";
import type { Verdict } from "../../episode/dispatcher.ts";
import type { JobSource, Taken, TakeRequest } from "../job-source.ts";
import type { EncodedGroup } from "../played-group.ts";
import type { NatsLink } from "./connection.ts";
import { type LedJob, packResult, readCancelled, readJob } from "./messages.ts";
import { ackWaitOf, namesOf, type RunNames } from "./streams.ts";

/** Options of {@link NatsJobSource}. */
export interface NatsJobSourceOptions {
  readonly runId: string;
  /** No two players of a run have one name. */
  readonly name: string;
}

/** A job that is not given yet. */
interface Held {
  readonly job: LedJob;
  message: JsMsg;
  /** Whether the player knows of it. */
  isTold: boolean;
  isCancelled: boolean;
}

/** Signs of life within a lease. */
const BEATS = 3;
/** Milliseconds for which one question for a job waits at the server. */
const PULL = 5000;
/** Milliseconds before a full queue is tried again, at first and at most. */
const [SHORTEST, LONGEST] = [50, 2000];
/** Bytes of a message that are not the result. */
const HEADERS = 1024;

/**
 * Asks for one job at a time, and holds it until its result is stored: while it lives it says so, and when it dies the server gives
 * the job to another. A result that finds no room waits for it; see {@link NatsJobSource.give}.
 */
export class NatsJobSource implements JobSource, AsyncDisposable {
  readonly #link: NatsLink;
  readonly #names: RunNames;
  readonly #name: string;
  readonly #cancelling: Subscription;
  readonly #held = new Map<number, Held>();
  #consumer: Consumer | undefined;
  #beating: NodeJS.Timeout | undefined;
  #leaseMs = 0;
  /** Groups that the player could begin now, and that it plays at once. */
  #room = 0;
  #capacity = 0;
  #pulling: Promise<void> | undefined;
  #messages: ConsumerMessages | undefined;
  #isClosed = false;
  #wake = (): void => {};

  constructor(link: NatsLink, { runId, name }: NatsJobSourceOptions) {
    this.#link = link;
    this.#names = namesOf(runId);
    this.#name = name;
    this.#cancelling = link.connection.subscribe(this.#names.cancelled, {
      callback: (error, { data }) => {
        if (!error) this.#cancel(data);
      },
    });
  }

  /** See `JobSource.take`. A run that nobody leads yet is a connection that failed. */
  async take(request: TakeRequest, signal: AbortSignal): Promise<Taken> {
    signal.throwIfAborted();
    const { room, holds } = request;
    const names = new Map(holds.map(({ groupId, attempt }) => [groupId, attempt]));
    for (const [groupId, { job, isTold }] of this.#held)
      if (isTold && names.get(groupId) !== job.attempt) this.#drop(groupId);
    this.#room = room;
    this.#capacity = room + holds.length;
    const consumer = await this.#open();
    this.#hello();
    const end = performance.now() + this.#leaseMs / BEATS;
    for (;;) {
      const taken = this.#news(names);
      const left = end - performance.now();
      if (taken.jobs.length + taken.cancelled.length > 0 || left <= 0) return taken;
      if (this.#room > 0) this.#pulling ??= this.#pull(consumer);
      await this.#change(left, signal);
    }
  }

  /**
   * See `JobSource.give`. `taken` says that the server has stored the result: what the leader makes of it is not waited for. While
   * the queue is full it waits until the leader has used what is in it.
   *
   * Errors    `nats_refused` when the result is larger than the server's messages; see also `JobSource.give`.
   */
  async give(group: EncodedGroup, signal: AbortSignal): Promise<Verdict> {
    const { groupId, attempt } = group;
    const held = this.#held.get(groupId);
    if (held?.job.attempt !== attempt) return "unwanted";
    const { leader } = held.job;
    const data = await packResult(leader, group);
    if (data.length > this.#link.maxPayload - HEADERS)
      throw tooLarge(groupId, data.length, this.#link.maxPayload);
    await this.#store(data, `${leader}.${groupId}.${attempt}`, signal);
    held.message.ack();
    if (this.#held.get(groupId) === held) this.#held.delete(groupId);
    return "taken";
  }

  /** What it has goes to others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#beating);
    this.#wake();
    this.#cancelling.unsubscribe();
    this.#capacity = 0;
    this.#hello();
    this.#messages?.stop();
    await this.#pulling;
    for (const { message } of this.#held.values()) message.nak();
    this.#held.clear();
  }

  async #store(data: Uint8Array, msgID: string, signal: AbortSignal): Promise<void> {
    for (let wait = SHORTEST; ; wait = Math.min(2 * wait, LONGEST)) {
      signal.throwIfAborted();
      try {
        const { jetstream } = this.#link;
        await this.#ask(() => jetstream.publish(this.#names.results.subject, data, { msgID }));
        return;
      } catch (error) {
        if (!isFull(error)) throw error;
      }
      await delay(wait * (0.5 + Math.random() / 2), signal);
    }
  }

  /** The queue of jobs, once there is one. */
  async #open(): Promise<Consumer> {
    if (this.#consumer) return this.#consumer;
    const { stream, consumer: name } = this.#names.jobs;
    const consumer = await this.#ask(() => this.#link.jetstream.consumers.get(stream, name));
    const { config } = await this.#ask(() => consumer.info(true));
    this.#leaseMs = ackWaitOf(config);
    clearInterval(this.#beating);
    this.#beating = setInterval(() => this.#beat(), this.#leaseMs / BEATS).unref();
    this.#consumer = consumer;
    return consumer;
  }

  /** One question; its answer is held whether or not anybody waits for it still. */
  async #pull(consumer: Consumer): Promise<void> {
    try {
      const messages = await consumer.fetch({ max_messages: 1, expires: PULL });
      this.#messages = messages;
      if (this.#isClosed) messages.stop();
      for await (const message of messages) this.#accept(message);
    } catch {
      // the run may be another by now; it is asked for again, and not at once
      this.#consumer = undefined;
      await delay(SHORTEST);
    } finally {
      this.#pulling = undefined;
      this.#wake();
    }
  }

  #accept(message: JsMsg): void {
    const job = readOr(() => readJob(message.data));
    if (!job) {
      // nobody could play it: who waits for it finds that it is lost
      message.term();
      return;
    }
    const held = this.#held.get(job.groupId);
    if (held?.job.attempt === job.attempt && held.job.leader === job.leader) {
      held.message = message;
    } else if (held || this.#isClosed || this.#room <= 0) {
      // it has another attempt of the group, or no room any more
      message.nak();
    } else {
      this.#held.set(job.groupId, { job, message, isTold: false, isCancelled: false });
    }
  }

  #news(names: ReadonlyMap<number, number>): Taken {
    const jobs: Taken["jobs"][number][] = [];
    const cancelled: number[] = [];
    for (const [id, held] of this.#held) {
      const { groupId, attempt, version } = held.job;
      if (held.isCancelled) {
        if (names.has(groupId)) cancelled.push(groupId);
        this.#drop(id);
      } else if (!held.isTold) {
        held.isTold = true;
        this.#room--;
        jobs.push({ groupId, attempt, version });
      }
    }
    return { jobs, cancelled };
  }

  #cancel(data: Uint8Array): void {
    const groupId = readOr(() => readCancelled(data));
    const held = groupId === undefined ? undefined : this.#held.get(groupId);
    if (!held) return;
    held.isCancelled = true;
    this.#wake();
  }

  #drop(groupId: number): void {
    this.#held.get(groupId)?.message.term();
    this.#held.delete(groupId);
  }

  #beat(): void {
    this.#hello();
    for (const { message } of this.#held.values()) message.working();
  }

  #hello(): void {
    const { connection } = this.#link;
    if (connection.isClosed()) return;
    const hello = { player: this.#name, capacity: this.#capacity };
    connection.publish(this.#names.players, JSON.stringify(hello));
  }

  /** Until something has come, or so many milliseconds have passed. Errors: the signal's reason. */
  async #change(milliseconds: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await delay(milliseconds, AbortSignal.any([signal, woken.signal])).catch(() => {});
    this.#wake = () => {};
    signal.throwIfAborted();
  }

  /** What a player is to try again is no `ForgeError`. */
  async #ask<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await this.#link.ask(request);
    } catch (error) {
      const isPassing =
        error instanceof ForgeError && ["nats_unreachable", "nats_refused"].includes(error.code);
      throw isPassing ? (error.cause ?? new Error(error.message)) : error;
    }
  }
}

/** Nothing of what something else has sent. */
function readOr<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Whether a queue takes no more for now. */
function isFull(error: unknown): boolean {
  return error instanceof Error && /maximum (messages|bytes) exceeded/.test(error.message);
}

/** Errors    the signal's reason. */
async function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const abort = (): void => {
      end();
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      end();
      resolve();
    }, milliseconds);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort);
  });
}

function tooLarge(groupId: number, bytes: number, most: number): ForgeError {
  return new ForgeError({
    code: "nats_refused",
    what: `group ${groupId} is larger than the messages of the server of NATS.`,
    got: `${bytes} bytes, deflated, of ${most}`,
    why: "a group travels whole, so that it is there once or not at all",
    fix: "raise max_payload in the server's configuration, or make groups smaller: rollout.groupSize, rollout.maxTokens",
  });
}
