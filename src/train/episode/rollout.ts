/** The sampling side of a training run: a sampler that goes only when it is told to, and the episodes that wait for it. */
import type { CausalLM, ChatTemplate, Device, Tokenizer } from "../../../engine/index.ts";
import type { PolicyLanguage } from "../../agent/policy.ts";
import { type Clock, ManualClock, wallClock } from "../../pool/clock.ts";
import { Sampler } from "../../rollout/sampler.ts";
import { languageOf } from "../policy/language.ts";
import { nextTask, RequestDesk } from "./request-desk.ts";

/** Options of {@link Rollout}. */
export interface RolloutOptions {
  readonly device: Device;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  /** Of chats; needed by agents that chat. */
  readonly template?: ChatTemplate;
  /** Sequences sampled at once. Default 8. */
  readonly batch?: number;
  /** Sequences that the cache holds. Default: `batch`. */
  readonly cacheSlots?: number;
  /** What keys and values are held in. Default `f32`. */
  readonly cacheDtype?: "f32" | "f16";
  /** Tokens of a sequence. Default: what the model was made for. */
  readonly length?: number;
  /** Tokens drawn between two readbacks. Default 8. */
  readonly steps?: number;
  /** Tokens that end an answer. Default: the tokenizer's. */
  readonly stopIds?: readonly number[];
  /**
   * Whether nothing may depend on when agents run: each readback waits until all of them are at rest, and time is counted in
   * readbacks.
   */
  readonly isDeterministic: boolean;
}

/** Requests that may wait: each of an episode that is under way. */
const MAX_QUEUE = 2 ** 20;

/**
 * Turns of the sampler. Training takes the GPU between two turns; episodes go on meanwhile, and what they ask for is passed
 * on at the next.
 */
export class Rollout {
  readonly sampler: Sampler;
  readonly desk: RequestDesk;
  /** How agents and the policy understand each other. */
  readonly language: PolicyLanguage;
  readonly clock: Clock;
  readonly isDeterministic: boolean;
  #ms = 0;

  constructor(options: RolloutOptions) {
    const { device, model, tokenizer, batch, cacheSlots, length, steps, stopIds } = options;
    this.isDeterministic = options.isDeterministic;
    this.sampler = new Sampler({
      ...{ device, model, tokenizer, isManual: true, maxQueue: MAX_QUEUE },
      ...(batch !== undefined && { batch }),
      ...(cacheSlots !== undefined && { slots: cacheSlots }),
      ...(options.cacheDtype && { cacheDtype: options.cacheDtype }),
      ...(length !== undefined && { length }),
      ...(steps !== undefined && { steps }),
      ...(stopIds !== undefined && { stopIds }),
    });
    this.desk = new RequestDesk(this.sampler);
    this.language = languageOf(options, this.sampler.length);
    this.clock = options.isDeterministic ? new ManualClock() : wallClock();
  }

  /** Milliseconds spent in turns of the sampler. */
  get ms(): number {
    return this.#ms;
  }

  /** Lets agents go on: until all are at rest in a deterministic run, else for a moment. */
  async rest(signal?: AbortSignal): Promise<void> {
    if (this.isDeterministic) await this.desk.settled(signal);
    else await nextTask();
  }

  /** One readback of what is asked for; without any, until an agent asks or ends. */
  async turn(signal?: AbortSignal): Promise<void> {
    const started = performance.now();
    const { events } = this.desk;
    this.desk.flush();
    if (await this.sampler.round()) {
      if (this.clock instanceof ManualClock) this.clock.advanceTo(this.clock.now() + 1);
    } else {
      await this.desk.progress(events, signal);
    }
    this.#ms += performance.now() - started;
  }

  /** Lets the sampler end what was aborted, and its episodes hear of it. */
  async drain(): Promise<void> {
    this.desk.flush();
    await this.sampler.round();
    await nextTask();
  }

  /** Goes on at a time of the clock, in a deterministic run. */
  resume(now: number): void {
    if (this.clock instanceof ManualClock) this.clock.advanceTo(now);
  }

  /** Frees the cache. End all episodes first. */
  async close(): Promise<void> {
    await this.sampler.close();
  }
}
