/** Batched sampling from a model: continuous batching over the slots of a KV cache. */
import { type CausalLM, type Device, ForgeError, type Tokenizer } from "../../engine/index.ts";
import { ActiveGeneration } from "./active-generation.ts";
import { type CacheCopy, Decoder, type PrefillRow, type Top } from "./decoder.ts";
import { FairQueue } from "./fair-queue.ts";
import {
  type Alternative,
  checkRequest,
  type Generation,
  type GenerationRequest,
} from "./request.ts";
import { Session } from "./session.ts";
import { type Slot, SlotTable } from "./slot-table.ts";

/** Options of {@link Sampler}. */
export interface SamplerOptions {
  readonly device: Device;
  readonly model: CausalLM;
  /** Sequences sampled at once. Default 8. */
  readonly batch?: number;
  /** Sequences that the cache holds: those beyond the batch wait there, for a tool or for one that shares their beginning. Default: `batch`. */
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
}

/** What a sampler has done. */
export interface SamplerStats {
  /** Tokens of prompts computed, and found in the cache. */
  readonly prefilledTokens: number;
  readonly reusedTokens: number;
  readonly sampledTokens: number;
  /** Tokens drawn and dropped, because their text had ended. */
  readonly droppedTokens: number;
  /** Milliseconds in which the host prepared or read, and in which it waited for the GPU. */
  readonly hostMs: number;
  readonly waitMs: number;
  readonly queued: number;
  readonly active: number;
}

/** Most alternatives of a token. */
const MAX_ALTERNATIVES = 20;
/** A prompt waits for another that is being computed if it shares this many tokens more with it than with the cache. */
const WORTH_WAITING = 16;

/** Requests that are looked at behind those that wait for a prefix. */
const MAX_POSTPONED = 64;

interface Waiting {
  readonly active: ActiveGeneration;
  readonly resolve: (generation: Generation) => void;
  readonly reject: (error: unknown) => void;
  readonly forget: () => void;
}

/**
 * Samples continuations, many at once, from the very weights that are trained: there is no copy to keep in step.
 *
 * A request's tokens depend on its prompt, its settings, its seed and the weights only: not on its slot, nor on what else
 * is sampled.
 */
export class Sampler implements Disposable {
  readonly model: CausalLM;
  readonly length: number;
  readonly #options: Required<Pick<SamplerOptions, "batch" | "steps" | "stopIds">> & SamplerOptions;
  readonly #decoder: Decoder;
  readonly #table: SlotTable;
  readonly #queue: FairQueue<Waiting>;
  #active: Waiting[] = [];
  /** Tokens that each slot has ever drawn, as the GPU counts them. */
  readonly #drawn: Uint32Array;
  #requests = 0n;
  #policyVersion = 0;
  #loop: Promise<void> | undefined;
  #isClosed = false;
  readonly #stats = {
    prefilledTokens: 0,
    reusedTokens: 0,
    sampledTokens: 0,
    droppedTokens: 0,
    hostMs: 0,
    waitMs: 0,
  };

  /** Errors: `argument_invalid` for sizes that do not fit together. */
  constructor(options: SamplerOptions) {
    const { batch = 8, slots = batch, steps = 8, maxQueue = 1024, model, tokenizer } = options;
    const { length = model.maxLength, cacheDtype = "f32" } = options;
    checkSizes({ batch, slots, steps, maxQueue, length }, model);
    const eos = tokenizer?.eosId;
    const stopIds = options.stopIds ?? (eos === undefined ? [] : [eos]);
    this.model = model;
    this.length = length;
    this.#options = { ...options, batch, steps, stopIds };
    this.#decoder = new Decoder(options.device, model, { slots, batch, length, steps, cacheDtype });
    this.#table = new SlotTable(slots);
    this.#queue = new FairQueue(maxQueue);
    // from 1 on: what the log holds at first is no token of anybody
    this.#drawn = new Uint32Array(slots).fill(1);
  }

  /** Which weights sample now: whoever changes them sets another number, and nothing cached under the old one is used again. */
  get policyVersion(): number {
    return this.#policyVersion;
  }

  set policyVersion(version: number) {
    this.#policyVersion = version;
  }

  get stats(): SamplerStats {
    return { ...this.#stats, queued: this.#queue.size, active: this.#active.length };
  }

  /** Bytes of the cache. */
  get cacheBytes(): number {
    return this.#decoder.cache.sizeBytes;
  }

  /** A conversation that keeps its cache from turn to turn. */
  session(): Session {
    return new Session(this, (session) => this.#table.forget(session));
  }

  /**
   * Continues a prompt.
   *
   * Errors    `argument_invalid`; `index_out_of_range`; `context_exceeded`; `queue_full`; `sampler_closed`; what `onToken`
   *           throws; those of the device.
   */
  async generate(request: GenerationRequest, session?: Session): Promise<Generation> {
    this.#checkOpen();
    const { tokenizer, stopIds, model, seed = 0 } = { ...this.#options };
    const checked = checkRequest(request, {
      vocab: model.options.vocab,
      length: this.length,
      stopIds,
      seed: (BigInt(seed) + this.#requests++) & 0xffff_ffff_ffff_ffffn,
      hasTokenizer: tokenizer !== undefined,
      maxAlternatives: Math.min(MAX_ALTERNATIVES, model.options.vocab),
    });
    const active = new ActiveGeneration(checked, tokenizer, session);
    if (request.signal?.aborted) return active.result();
    return new Promise((resolve, reject) => {
      const wake = (): void => this.#cancelQueued(waiting);
      const forget = (): void => request.signal?.removeEventListener("abort", wake);
      const waiting: Waiting = { active, resolve, reject, forget };
      if (!this.#queue.push(request.queue ?? "", waiting)) {
        reject(
          new ForgeError({
            code: "queue_full",
            what: "generate: too many requests wait.",
            got: `${this.#queue.size} waiting, ${this.#active.length} under way`,
            fix: "wait for some to end, or open the sampler with a larger maxQueue",
          }),
        );
        return;
      }
      request.signal?.addEventListener("abort", wake, { once: true });
      this.#loop ??= this.#run();
    });
  }

  /** Ends what is under way, with what came so far, and frees the cache. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#loop;
    this.#decoder[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  #checkOpen(): void {
    if (!this.#isClosed) return;
    throw new ForgeError({
      code: "sampler_closed",
      what: "generate: the sampler is closed.",
      fix: "open another one",
    });
  }

  /** One that is under way ends at the next readback. */
  #cancelQueued(waiting: Waiting): void {
    if (this.#queue.remove(waiting)) this.#settle(waiting);
  }

  #settle({ active, resolve, forget }: Waiting): void {
    forget();
    resolve(active.result());
  }

  async #run(): Promise<void> {
    // what is asked for in one go starts in one batch
    await Promise.resolve();
    try {
      while (this.#queue.size + this.#active.length > 0) await this.#round();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#loop = undefined;
    }
  }

  #fail(error: unknown): void {
    for (const { forget, reject, active } of this.#active) {
      if (active.slot) this.#giveUp(active.slot);
      forget();
      reject(error);
    }
    this.#active = [];
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      next.item.forget();
      next.item.reject(error);
    }
  }

  /** One readback: prompts enter, some of their tokens are computed, then a few tokens are drawn for all. */
  async #round(): Promise<void> {
    const begun = performance.now();
    this.#endCancelled();
    const copies = this.#admit();
    await this.#decoder.copy(copies);
    const count = Math.max(
      0,
      ...this.#active.map((w) => w.active.checked.request.alternatives ?? 0),
    );
    const rows = this.#prefillRows();
    let alternatives = new Map<number, readonly (readonly Alternative[])[]>();
    if (rows.length > 0) {
      const top = await this.#decoder.prefill(rows, count);
      const slots = rows.filter((r) => r.isLast).map((r) => r.slot);
      alternatives = this.#alternatives(top, slots, alternatives);
    }
    const drawing = this.#active.filter(({ active }) => active.isDecoding);
    // a prompt's last token has drawn one by itself
    const finishing = new Set(rows.filter((r) => r.isLast).map((r) => r.slot));
    const left = drawing.map(
      ({ active }) => active.remaining - (finishing.has(indexOf(active)) ? 1 : 0),
    );
    const most = Math.max(0, ...left);
    const steps = Math.min(most, count > 0 ? 1 : this.#options.steps);
    if (steps > 0) {
      const slots = drawing.map(({ active }) => indexOf(active));
      const top = await this.#decoder.decode(slots, steps, count);
      alternatives = this.#alternatives(top, slots, alternatives);
    }
    const sent = performance.now();
    const log = await this.#decoder.readLog();
    const back = performance.now();
    for (const waiting of drawing) this.#collect(waiting, log, alternatives);
    this.#active = this.#active.filter(({ active }) => !active.finishReason);
    this.#stats.hostMs += sent - begun + (performance.now() - back);
    this.#stats.waitMs += back - sent;
  }

  #endCancelled(): void {
    for (const waiting of this.#active) {
      const { active } = waiting;
      if (!this.#isClosed && !active.checked.request.signal?.aborted) continue;
      this.#leave(active);
      this.#settle(waiting);
    }
    this.#active = this.#active.filter(({ active }) => !active.finishReason);
    if (!this.#isClosed) return;
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) this.#settle(next.item);
  }

  /** Gives slots to those whose turn it is, as long as there are any. */
  #admit(): CacheCopy[] {
    const copies: CacheCopy[] = [];
    const postponed: { key: string; item: Waiting }[] = [];
    while (
      this.#active.length < this.#options.batch &&
      this.#table.free > 0 &&
      postponed.length < MAX_POSTPONED
    ) {
      const next = this.#queue.shift();
      if (!next) break;
      const { active } = next.item;
      const { prompt, settings, stopIds, maxTokens } = active.checked;
      if (this.#isWorthWaiting(prompt)) {
        postponed.push(next);
        continue;
      }
      const place = this.#table.place(prompt, this.#policyVersion, active.session);
      if (!place) break;
      const { slot, reused, source } = place;
      if (source) copies.push({ from: source.index, to: slot.index, length: reused });
      active.start(slot, reused);
      this.#stats.reusedTokens += reused;
      this.#decoder.start(slot.index, {
        position: prompt.length - 1,
        budget: maxTokens,
        drawn: this.#drawn[slot.index] as number,
        settings,
        stopIds,
      });
      this.#active.push(next.item);
    }
    for (const { key, item } of postponed.reverse()) this.#queue.unshift(key, item);
    return copies;
  }

  /** Whether a prompt that is being computed will soon save much of this one. */
  #isWorthWaiting(prompt: readonly number[]): boolean {
    let [there, soon] = [0, 0];
    for (const slot of this.#table.slots)
      if (slot.version === this.#policyVersion) there = Math.max(there, common(slot.ids, prompt));
    for (const { active } of this.#active)
      if (!active.isDecoding && active.slot?.version === this.#policyVersion)
        soon = Math.max(soon, common(active.checked.prompt, prompt));
    return soon - there >= WORTH_WAITING;
  }

  /** The next tokens of prompts, oldest first, as many as one call takes. */
  #prefillRows(): PrefillRow[] {
    const rows: PrefillRow[] = [];
    let ends = 0;
    for (const { active } of this.#active) {
      const { prompt } = active.checked;
      const { slot } = active;
      if (!slot || active.isDecoding) continue;
      const room = this.#decoder.maxPrefillRows - rows.length;
      const count = Math.min(prompt.length - active.prefilled, room);
      const isDone = active.prefilled + count === prompt.length;
      if (count === 0 || (isDone && ends === this.#decoder.maxLast)) break;
      if (isDone) ends++;
      for (let i = 0; i < count; i++) {
        const position = active.prefilled + i;
        const token = prompt[position] as number;
        rows.push({ token, slot: slot.index, position, isLast: position === prompt.length - 1 });
        slot.ids.push(token);
      }
      active.prefilled += count;
    }
    this.#stats.prefilledTokens += rows.length;
    return rows;
  }

  /** Adds what a call gave for its slots; there is one token for each. */
  #alternatives(
    top: Top | undefined,
    slots: readonly number[],
    known: ReadonlyMap<number, readonly (readonly Alternative[])[]>,
  ): Map<number, readonly (readonly Alternative[])[]> {
    const all = new Map(known);
    if (!top) return all;
    const bySlot = new Map(this.#active.map(({ active }) => [indexOf(active), active]));
    slots.forEach((slot, row) => {
      const request = bySlot.get(slot)?.checked.request;
      const { temperature = 1 } = request?.sampling ?? {};
      const some = Array.from({ length: request?.alternatives ?? 0 }, (_, i) => {
        const at = row * top.count + i;
        const logit = top.logits[at] as number;
        const lse = top.logSumExp[row] as number;
        return { id: top.ids[at] as number, logprob: logit / (temperature || 1) - lse };
      });
      all.set(slot, [...(all.get(slot) ?? []), some]);
    });
    return all;
  }

  /** Takes in the tokens that a slot has drawn since the last readback. */
  #collect(
    waiting: Waiting,
    log: Uint32Array,
    alternatives: ReadonlyMap<number, readonly (readonly Alternative[])[]>,
  ): void {
    const { active } = waiting;
    const slot = active.slot as Slot;
    const ring = this.#options.steps + 1;
    const floats = new Float32Array(log.buffer, log.byteOffset, log.length);
    let isRejected = false;
    for (let turn = 0; turn < ring; turn++) {
      const drawn = this.#drawn[slot.index] as number;
      const at = (slot.index * ring + (drawn % ring)) * 4;
      if (log[at + 3] !== drawn) break;
      this.#drawn[slot.index] = drawn + 1;
      if (active.finishReason || isRejected) {
        this.#stats.droppedTokens++;
        continue;
      }
      this.#stats.sampledTokens++;
      if (active.ids.length > 0) slot.ids.push(active.ids.at(-1) as number);
      try {
        active.push({
          id: log[at] as number,
          logprob: floats[at + 1] as number,
          entropy: floats[at + 2] as number,
          alternatives: alternatives.get(slot.index)?.[turn] ?? [],
          policyVersion: this.#policyVersion,
        });
      } catch (error) {
        isRejected = true;
        waiting.forget();
        waiting.reject(error);
      }
    }
    if (!active.finishReason && !isRejected) return;
    this.#leave(active);
    if (isRejected) active.finishReason = "cancelled";
    else this.#settle(waiting);
  }

  /** Gives the slot of a generation back, with the tokens that it holds. */
  #leave({ slot }: ActiveGeneration): void {
    if (!slot) return;
    this.#decoder.stop(slot.index, this.#drawn[slot.index] as number);
    if (slot.version !== this.#policyVersion) slot.ids = [];
    this.#table.release(slot);
  }

  /** After an error nobody knows how many tokens the GPU has drawn: none of them may be taken for a later one. */
  #giveUp(slot: Slot): void {
    this.#drawn[slot.index] = (this.#drawn[slot.index] as number) + 2 * (this.#options.steps + 1);
    slot.ids = [];
    this.#table.release(slot);
  }
}

function indexOf({ slot }: ActiveGeneration): number {
  return (slot as Slot).index;
}

function common(ids: readonly number[], prompt: readonly number[]): number {
  const most = Math.min(ids.length, prompt.length - 1);
  let at = 0;
  while (at < most && ids[at] === prompt[at]) at++;
  return at;
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
