/** The sequences that are sampled together, from one readback to the next. */
import type { ActiveGeneration } from "./active-generation.ts";
import type { CacheCopy } from "./cache-copies.ts";
import type { Decoder, PrefillRow, Top } from "./decoder.ts";
import type { Alternative } from "./request.ts";
import { commonPrefix, type Slot, SlotTable } from "./slot-table.ts";

/** Options of {@link Batch}. */
export interface BatchOptions {
  readonly decoder: Decoder;
  /** Sequences at once. */
  readonly size: number;
  readonly slots: number;
  /** Tokens drawn between two readbacks. */
  readonly steps: number;
}

/** What a batch has done. */
export interface BatchStats {
  /** Tokens of prompts computed, and found in the cache. */
  readonly prefilledTokens: number;
  readonly reusedTokens: number;
  readonly sampledTokens: number;
  /** Tokens drawn and dropped, because their text had ended. */
  readonly droppedTokens: number;
  /** Milliseconds in which the host prepared or read, and in which it waited for the GPU. */
  readonly hostMs: number;
  readonly waitMs: number;
}

/** A prompt waits for another that is being computed if it shares this many tokens more with it than with the cache. */
const WORTH_WAITING = 16;

/** What calls gave besides tokens, for each slot in the order of its tokens. */
type Alternatives = ReadonlyMap<number, readonly (readonly Alternative[])[]>;

/** See the file's head. */
export class Batch {
  readonly table: SlotTable;
  readonly #options: BatchOptions;
  /** Tokens that each slot has ever drawn, as the GPU counts them. */
  readonly #drawn: Uint32Array;
  #active: ActiveGeneration[] = [];
  #copies: CacheCopy[] = [];
  readonly #stats = {
    prefilledTokens: 0,
    reusedTokens: 0,
    sampledTokens: 0,
    droppedTokens: 0,
    hostMs: 0,
    waitMs: 0,
  };

  constructor(options: BatchOptions) {
    this.#options = options;
    this.table = new SlotTable(options.slots);
    // from 1 on: what the log holds at first is no token of anybody
    this.#drawn = new Uint32Array(options.slots).fill(1);
  }

  get active(): readonly ActiveGeneration[] {
    return this.#active;
  }

  get stats(): BatchStats {
    return { ...this.#stats };
  }

  get hasRoom(): boolean {
    return this.#active.length < this.#options.size && this.table.hasFree;
  }

  /** Whether a prompt that is being computed will soon save much of this one. */
  isWorthWaiting(prompt: readonly number[], version: number): boolean {
    let [there, soon] = [0, 0];
    for (const slot of this.table.slots)
      if (slot.version === version) there = Math.max(there, commonPrefix(slot.ids, prompt));
    for (const { isDecoding, slot, checked } of this.#active)
      if (!isDecoding && slot?.version === version)
        soon = Math.max(soon, commonPrefix(checked.prompt, prompt));
    return soon - there >= WORTH_WAITING;
  }

  /** Takes a generation in; false when no slot is free. */
  add(active: ActiveGeneration, version: number): boolean {
    const { prompt, settings, stopIds, maxTokens } = active.checked;
    const place = this.table.place(prompt, version, active.session);
    if (!place) return false;
    const { slot, reused, source } = place;
    if (source) this.#copies.push({ from: source.index, to: slot.index, length: reused });
    active.start(slot, reused);
    this.#stats.reusedTokens += reused;
    this.#options.decoder.start(slot.index, {
      token: prompt.at(-1) as number,
      position: prompt.length - 1,
      budget: maxTokens,
      drawn: this.#drawn[slot.index] as number,
      settings,
      stopIds,
    });
    this.#active.push(active);
    return true;
  }

  /** Takes generations out, whether or not they are over. Their slots keep what they hold. */
  remove(isOut: (active: ActiveGeneration) => boolean): ActiveGeneration[] {
    const out = this.#active.filter(isOut);
    this.#active = this.#active.filter((active) => !out.includes(active));
    for (const { slot } of out) if (slot) this.table.release(slot);
    return out;
  }

  /** Takes all out after an error: nobody knows what their slots hold, or how many tokens the GPU has drawn for them. */
  abandon(): ActiveGeneration[] {
    const out = this.#active;
    this.#active = [];
    this.#copies = [];
    for (const slot of this.table.slots) {
      // beyond any index that the log may hold
      this.#drawn[slot.index] = (this.#drawn[slot.index] as number) + 2 * (this.#options.steps + 1);
      slot.ids = [];
      if (slot.isBusy) this.table.release(slot);
    }
    return out;
  }

  /** One readback: some tokens of prompts are computed, then a few are drawn for all that have theirs. */
  async round(version: number): Promise<void> {
    const begun = performance.now();
    const { decoder, steps: mostSteps } = this.#options;
    await decoder.copy(this.#copies.splice(0));
    const top = Math.max(0, ...this.#active.map((a) => a.checked.request.alternatives ?? 0));
    const found = new Map<number, (readonly Alternative[])[]>();
    const rows = this.#prefillRows();
    const finished = rows.filter((r) => r.isLast).map((r) => r.slot);
    if (rows.length > 0) this.#keep(found, finished, await decoder.prefill(rows, top));
    const drawing = this.#active.filter((a) => a.isDecoding);
    // a prompt's last token has drawn one by itself
    const left = drawing.map((a) => a.remaining - (finished.includes(indexOf(a)) ? 1 : 0));
    const steps = Math.min(Math.max(0, ...left), mostSteps);
    if (steps > 0) {
      const slots = drawing.map(indexOf);
      this.#keep(found, slots, await decoder.decode(slots, steps, top));
    }
    const sent = performance.now();
    const log = await decoder.readLog();
    const back = performance.now();
    for (const active of drawing) this.#collect(active, log, found, version);
    this.#stats.hostMs += sent - begun + (performance.now() - back);
    this.#stats.waitMs += back - sent;
  }

  /** The next tokens of prompts, oldest first, as many as one call takes. */
  #prefillRows(): PrefillRow[] {
    const { maxPrefillRows, maxLast } = this.#options.decoder;
    const rows: PrefillRow[] = [];
    let ends = 0;
    for (const active of this.#active) {
      const { prompt } = active.checked;
      const { slot } = active;
      if (!slot || active.isDecoding) continue;
      const count = Math.min(prompt.length - active.prefilled, maxPrefillRows - rows.length);
      const isDone = active.prefilled + count === prompt.length;
      if (count === 0 || (isDone && ends === maxLast)) break;
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
  #keep(
    found: Map<number, (readonly Alternative[])[]>,
    slots: readonly number[],
    top: Top | undefined,
  ): void {
    if (!top) return;
    const bySlot = new Map(this.#active.map((active) => [indexOf(active), active]));
    slots.forEach((slot, row) => {
      const request = bySlot.get(slot)?.checked.request;
      const { temperature = 1 } = request?.sampling ?? {};
      const some = Array.from({ length: request?.alternatives ?? 0 }, (_, i) => {
        const logit = top.logits[row * top.count + i] as number;
        const logprob = logit / (temperature || 1) - (top.logSumExp[row] as number);
        return { id: top.ids[row * top.count + i] as number, logprob };
      });
      found.set(slot, [...(found.get(slot) ?? []), some]);
    });
  }

  /** Takes in the tokens that a slot has drawn since the last readback. */
  #collect(active: ActiveGeneration, log: Uint32Array, found: Alternatives, version: number): void {
    const slot = active.slot as Slot;
    const ring = this.#options.steps + 1;
    const floats = new Float32Array(log.buffer, log.byteOffset, log.length);
    for (let turn = 0; turn < ring; turn++) {
      const drawn = this.#drawn[slot.index] as number;
      const at = (slot.index * ring + (drawn % ring)) * 4;
      if (log[at + 3] !== drawn) break;
      this.#drawn[slot.index] = drawn + 1;
      if (active.isOver) {
        this.#stats.droppedTokens++;
        continue;
      }
      this.#stats.sampledTokens++;
      // a token has keys and values once it was fed, which gave the next one
      if (active.ids.length > 0) slot.ids.push(active.ids.at(-1) as number);
      active.push({
        id: log[at] as number,
        logprob: floats[at + 1] as number,
        entropy: floats[at + 2] as number,
        alternatives: found.get(slot.index)?.[turn] ?? [],
        policyVersion: version,
      });
    }
  }
}

function indexOf({ slot }: ActiveGeneration): number {
  return (slot as Slot).index;
}
