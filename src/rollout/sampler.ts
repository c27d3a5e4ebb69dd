/** Batched sampling from a model: continuous batching over the slots of a KV cache. */
import { type CausalLM, type Device, ForgeError, type Tokenizer } from "../../engine/index.ts";
import { ActiveGeneration } from "./active-generation.ts";
import { Batch, type BatchStats } from "./batch.ts";
import { Decoder } from "./decoder.ts";
import { FairQueue } from "./fair-queue.ts";
import {
  checkRequest,
  type Generation,
  type GenerationRequest,
  type RequestLimits,
} from "./request.ts";
import { Session } from "./session.ts";

/** Options of {@link Sampler}. */
export interface SamplerOptions {
  readonly device: Device;
  readonly model: CausalLM;
  /** Sequences sampled at once. Default 8. */
  readonly batch?: number;
  /**
   * Sequences that the cache holds. Those beyond the batch keep what was said while an agent waits for its tools, and the
   * beginnings that prompts share. Default: `batch`.
   */
  readonly slots?: number;
  /** Tokens of one sequence. Default: what the model was made for. */
  readonly length?: number;
  /** What keys and values are held in. Default `f32`. */
  readonly cacheDtype?: "f32" | "f16";
  /** Tokens drawn between two readbacks. Default 8. */
  readonly steps?: number;
  /** Requests that may wait. Default 1024. */
  readonly maxQueue?: number;
  /** For text and stop strings. */
  readonly tokenizer?: Tokenizer;
  /** Tokens that end a text unless a request says otherwise. Default: the tokenizer's end-of-text token. */
  readonly stopIds?: readonly number[];
  /** Requests without a seed take this one plus their number. Default 0. */
  readonly seed?: number | bigint;
  /** Whether nothing is computed but in {@link Sampler.round}: for a trainer, who shares the GPU. Default false. */
  readonly isManual?: boolean;
}

/** What a sampler has done, and has to do. */
export interface SamplerStats extends BatchStats {
  readonly queued: number;
  readonly active: number;
}

/** Most alternatives of a token. */
const MAX_ALTERNATIVES = 20;
/** Requests that are looked at behind those that wait for a prefix. */
const MAX_POSTPONED = 64;

/**
 * Samples continuations, many at once, from the very weights that are trained: there is no copy to keep in step.
 *
 * A request's tokens depend on its prompt, its settings, its seed and the weights only: not on its slot, nor on what else
 * is sampled.
 */
export class Sampler implements Disposable {
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer | undefined;
  /** Tokens of one sequence. */
  readonly length: number;
  /**
   * Which weights sample now. Whoever changes them sets another number: nothing that was cached under the old one is used
   * for a new request. Those under way go on with the cache that they have.
   */
  policyVersion = 0;
  readonly #limits: Omit<RequestLimits, "seed">;
  readonly #seed: bigint;
  readonly #decoder: Decoder;
  readonly #batch: Batch;
  readonly #queue: FairQueue<ActiveGeneration>;
  readonly #isManual: boolean;
  #requests = 0n;
  #loop: Promise<void> | undefined;
  #isClosed = false;

  /** Errors: `argument_invalid` for sizes that do not fit together. */
  constructor(options: SamplerOptions) {
    const { batch = 8, slots = batch, steps = 8, maxQueue = 1024, model, tokenizer } = options;
    const { length = model.maxLength, cacheDtype = "f32", seed = 0, device } = options;
    checkSizes({ batch, slots, steps, maxQueue, length }, model);
    const eos = tokenizer?.eosId;
    this.model = model;
    this.tokenizer = tokenizer;
    this.length = length;
    this.#limits = {
      vocab: model.options.vocab,
      length,
      stopIds: options.stopIds ?? (eos === undefined ? [] : [eos]),
      hasTokenizer: tokenizer !== undefined,
      maxAlternatives: Math.min(MAX_ALTERNATIVES, model.options.vocab),
    };
    this.#seed = BigInt(seed);
    this.#decoder = new Decoder(device, model, { slots, batch, length, steps, cacheDtype });
    this.#batch = new Batch({ decoder: this.#decoder, size: batch, slots, steps });
    this.#queue = new FairQueue(maxQueue);
    this.#isManual = options.isManual ?? false;
  }

  get stats(): SamplerStats {
    return {
      ...this.#batch.stats,
      queued: this.#queue.size,
      active: this.#batch.active.length,
    };
  }

  /** Bytes of the cache. */
  get cacheBytes(): number {
    return this.#decoder.cache.sizeBytes;
  }

  /** A conversation that keeps its cache from turn to turn. */
  session(): Session {
    return new Session(this, (session) => this.#batch.table.forget(session));
  }

  /**
   * Continues a prompt.
   *
   * Errors    `argument_invalid`; `index_out_of_range`; `context_exceeded`; `queue_full`; `sampler_closed`; what `onToken`
   *           throws; those of the device.
   */
  async generate(request: GenerationRequest, session?: Session): Promise<Generation> {
    if (this.#isClosed) {
      throw new ForgeError({
        code: "sampler_closed",
        what: "generate: the sampler is closed.",
        fix: "open another one",
      });
    }
    const seed = BigInt.asUintN(64, this.#seed + this.#requests++);
    const checked = checkRequest(request, { ...this.#limits, seed });
    const active = new ActiveGeneration(checked, this.tokenizer, session);
    const { signal } = request;
    if (signal?.aborted) active.finish();
    else this.#enqueue(active, request.queue ?? "");
    // one under way ends at the next readback
    const cancel = (): void => {
      if (this.#queue.remove(active)) active.finish();
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await active.finished;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /**
   * With `isManual`: computes up to the next readback. False when there is nothing to do.
   *
   * Errors    `state_conflict` without `isManual`; those of the device, which all generations are ended with too.
   */
  async round(): Promise<boolean> {
    if (!this.#isManual) {
      throw new ForgeError({
        code: "state_conflict",
        what: "sampler: it goes its rounds by itself.",
        fix: "open it with isManual",
      });
    }
    if (!this.#hasWork) return false;
    try {
      await this.#round();
    } catch (error) {
      this.#failAll(error);
      throw error;
    }
    return true;
  }

  /** Forgets the prompts that nobody is at: what comes next finds nothing in the cache. */
  clearCache(): void {
    this.#batch.table.clear();
  }

  /** Ends what is under way or waits, with what came so far, and frees the cache. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#loop;
    if (this.#isManual) await this.#round();
    this.#decoder[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  #enqueue(active: ActiveGeneration, queue: string): void {
    if (!this.#queue.push(queue, active)) {
      throw new ForgeError({
        code: "queue_full",
        what: "generate: too many requests wait.",
        got: `${this.#queue.size} waiting, ${this.#batch.active.length} under way`,
        fix: "wait for some to end, or open the sampler with a larger maxQueue",
      });
    }
    if (!this.#isManual) this.#loop ??= this.#run();
  }

  get #hasWork(): boolean {
    return this.#queue.size + this.#batch.active.length > 0;
  }

  async #run(): Promise<void> {
    // what is asked for in one go starts in one batch
    await Promise.resolve();
    try {
      while (this.#hasWork) await this.#round();
    } catch (error) {
      this.#failAll(error);
    } finally {
      this.#loop = undefined;
    }
  }

  #failAll(error: unknown): void {
    const rest = this.#batch.abandon();
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) rest.push(next.item);
    for (const active of rest) active.fail(error);
  }

  async #round(): Promise<void> {
    this.#end((active) => this.#isClosed || active.isCancelled);
    if (this.#isClosed) {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) next.item.finish();
      return;
    }
    this.#admit();
    await this.#batch.round(this.policyVersion);
    this.#end((active) => active.isOver);
  }

  #end(isOut: (active: ActiveGeneration) => boolean): void {
    for (const active of this.#batch.remove(isOut)) active.finish();
  }

  /** Lets in those whose turn it is, as long as there is room. */
  #admit(): void {
    const postponed: { key: string; item: ActiveGeneration }[] = [];
    while (this.#batch.hasRoom && postponed.length < MAX_POSTPONED) {
      const next = this.#queue.shift();
      if (!next) break;
      const isSoonCheaper = this.#batch.isWorthWaiting(
        next.item.checked.prompt,
        this.policyVersion,
      );
      if (isSoonCheaper || !this.#batch.add(next.item, this.policyVersion)) postponed.push(next);
    }
    for (const { key, item } of postponed.reverse()) this.#queue.unshift(key, item);
  }
}

function checkSizes(sizes: Readonly<Record<string, number>>, { maxLength }: CausalLM): void {
  const why = Object.entries(sizes).flatMap(([name, size]) =>
    Number.isInteger(size) && size > 0 ? [] : [`${name} is a positive integer`],
  );
  const { batch = 0, slots = 0, length = 0 } = sizes;
  if (slots < batch) why.push("there is a slot for each sequence of the batch");
  if (length > maxLength) why.push(`the model was made for ${maxLength} tokens`);
  if (why.length === 0) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "sampler: the sizes do not fit together.",
    got: JSON.stringify(sizes),
    why: why.join("; "),
    fix: "correct them",
  });
}
