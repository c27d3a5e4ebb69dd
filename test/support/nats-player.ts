/** A player without a policy: it makes the same of every job, as fast as it is let. */
import { NatsLink } from "../../src/train/cluster/nats/connection.ts";
import { NatsJobSource } from "../../src/train/cluster/nats/nats-job-source.ts";
import type { Job } from "../../src/train/episode/dispatcher.ts";
import { encodedGroup, RUN } from "./nats-world.ts";

/** What is unlike others. */
export interface NatsPlayerOptions {
  /** Jobs that it has at once. Default 4. */
  readonly room?: number;
  /** Fulfilled when a job may be handed in. Default: at once. */
  readonly play?: (job: Job) => Promise<unknown>;
  readonly onGiven?: (job: Job) => void;
}

/** See the file's head. */
export class NatsPlayer implements AsyncDisposable {
  readonly link: NatsLink;
  readonly source: NatsJobSource;
  readonly given: Job[] = [];
  readonly cancelled: number[] = [];
  readonly #options: NatsPlayerOptions;
  readonly #holds = new Map<number, Job>();
  readonly #stop = new AbortController();
  readonly #asking: Promise<void>;
  #again = new AbortController();

  private constructor(link: NatsLink, source: NatsJobSource, options: NatsPlayerOptions) {
    this.link = link;
    this.source = source;
    this.#options = options;
    this.#asking = this.#ask();
  }

  static async open(
    url: string,
    name: string,
    options: NatsPlayerOptions = {},
  ): Promise<NatsPlayer> {
    const link = await NatsLink.open({ servers: [url], name });
    return new NatsPlayer(link, new NatsJobSource(link, { runId: RUN, name }), options);
  }

  /** Jobs that it has. */
  get holds(): readonly Job[] {
    return [...this.#holds.values()];
  }

  /** As a process dies: it takes nothing back. */
  async die(): Promise<void> {
    await this.link.connection.close();
    this.#stop.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#asking;
    await this.source[Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
  }

  async #ask(): Promise<void> {
    const { room = 4 } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#again = new AbortController();
      const signal = AbortSignal.any([this.#stop.signal, this.#again.signal]);
      try {
        const holds = this.holds;
        const taken = await this.source.take({ room: room - holds.length, holds }, signal);
        for (const groupId of taken.cancelled) this.#holds.delete(groupId);
        this.cancelled.push(...taken.cancelled);
        for (const job of taken.jobs) {
          this.#holds.set(job.groupId, job);
          void this.#play(job);
        }
      } catch {
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async #play(job: Job): Promise<void> {
    const { play, onGiven } = this.#options;
    await play?.(job);
    while (this.#holds.get(job.groupId) === job && !this.#stop.signal.aborted) {
      try {
        await this.source.give(encodedGroup(job), this.#stop.signal);
        this.#holds.delete(job.groupId);
        this.given.push(job);
        onGiven?.(job);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    this.#again.abort();
  }
}
