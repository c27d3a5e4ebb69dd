/** The GPU's part of sampling: prefill, decoding and copies of prefixes as plans over the model's own weights. */
import {
  advance,
  type CausalLM,
  type Compiled,
  compile,
  copyCacheSlots,
  type Device,
  KvCache,
  type SlotStates,
  State,
  sample,
  type Tensor,
  take,
  takeAlongAxis,
  tensor,
  topK,
} from "../../engine/index.ts";
import { type CacheCopy, independentRuns, MAX_COPIES } from "./cache-copies.ts";
import { STOP_WORDS } from "./request.ts";

/** Options of {@link Decoder}. */
export interface DecoderOptions {
  readonly slots: number;
  readonly batch: number;
  readonly length: number;
  readonly steps: number;
  readonly cacheDtype: "f32" | "f16";
}

/** A slot's state on the GPU when a prompt enters it. */
export interface SlotStart {
  /** The prompt's last token, and its position. */
  readonly token: number;
  readonly position: number;
  readonly budget: number;
  /** Tokens that the slot has ever drawn. */
  readonly drawn: number;
  readonly settings: Uint32Array<ArrayBuffer>;
  readonly stopIds: Iterable<number>;
}

/** A token of a prompt to be computed; `isLast` ones are sampled from. */
export interface PrefillRow {
  readonly token: number;
  readonly slot: number;
  readonly position: number;
  readonly isLast: boolean;
}

/** The most probable tokens of the rows of a call, `count` for each, and what turns their logits into log-probs. */
export interface Top {
  readonly count: number;
  readonly ids: Uint32Array;
  /** Logits as the head gives them. */
  readonly logits: Float32Array;
  /** Log-sum-exp of logits / temperature, of each row. */
  readonly logSumExp: Float32Array;
}

/** Marks rows without a slot. */
const NONE = 0xffffffff;
/** Sizes of prefill calls, in rows; each has a plan. */
const PREFILL_ROWS = [16, 64, 256, 1024] as const;
/** Prompts that one call can finish. */
const MAX_LAST = 32;

type DecodeOutput = { ids: Tensor; logits: Tensor; logSumExp: Tensor } | Record<string, never>;

/** Slots on the GPU, and what moves them on. Nothing is allocated once each plan has run. */
export class Decoder implements Disposable {
  readonly cache: KvCache;
  readonly maxPrefillRows: number;
  readonly maxLast: number;
  readonly #device: Device;
  readonly #options: DecoderOptions;
  readonly #settings: State;
  readonly #states: SlotStates;
  readonly #rows: Map<number, State> = new Map();
  readonly #model: CausalLM;
  readonly #copy: Compiled<[Tensor, Tensor, Tensor], Record<string, never>>;
  readonly #prefills: Map<
    number,
    Compiled<[Tensor, Tensor, Tensor, Tensor, Tensor], DecodeOutput>
  > = new Map();
  readonly #decodes: Map<string, Compiled<[], DecodeOutput>> = new Map();

  constructor(device: Device, model: CausalLM, options: DecoderOptions) {
    const { slots, length, steps, batch, cacheDtype } = options;
    this.#device = device;
    this.#model = model;
    this.#options = options;
    this.cache = new KvCache(model.options, { slots, length, dtype: cacheDtype });
    this.maxLast = Math.min(batch, MAX_LAST);
    this.maxPrefillRows = device.isSoftware ? 256 : 1024;
    const state = (shape: number[], name: string): State =>
      new State(shape, "u32", 0, `slots' ${name}`);
    this.#settings = state([slots, 8], "settings");
    this.#states = {
      tokens: state([slots], "tokens"),
      positions: state([slots], "positions"),
      progress: state([slots, 2], "progress"),
      stops: state([slots, STOP_WORDS], "stop tokens"),
      // what a prompt's last token gives, and then each step
      log: state([slots, steps + 1, 4], "log"),
    };
    this.#copy = compile(
      (from: Tensor, to: Tensor, lengths: Tensor) => {
        for (const layer of this.cache.layers) copyCacheSlots(layer, from, to, lengths);
        return {};
      },
      { device, label: "copy prefixes" },
    );
  }

  /** Readies a slot for a prompt. */
  start(slot: number, { token, position, budget, drawn, settings, stopIds }: SlotStart): void {
    const { tokens, positions, progress, stops } = this.#states;
    const words = new Uint32Array(STOP_WORDS).fill(NONE);
    words.set([...stopIds].slice(0, STOP_WORDS));
    this.#settings.write(this.#device, settings, slot * 8);
    // a slot that is over with its first token goes on feeding this one
    tokens.write(this.#device, Uint32Array.of(token), slot);
    positions.write(this.#device, Uint32Array.of(position), slot);
    progress.write(this.#device, Uint32Array.of(budget, drawn), slot * 2);
    stops.write(this.#device, words, slot * STOP_WORDS);
  }

  /** Copies prefixes from slot to slot, in order. */
  async copy(copies: readonly CacheCopy[]): Promise<void> {
    for (const some of independentRuns(copies)) {
      const column = (of: (c: CacheCopy) => number, none: number): Uint32Array =>
        Uint32Array.from({ length: MAX_COPIES }, (_, i) => (some[i] ? of(some[i]) : none));
      const inputs = [
        column((c) => c.from, NONE),
        column((c) => c.to, NONE),
        column((c) => c.length, 0),
      ] as const;
      const [from, to, lengths] = inputs.map((i) => tensor(i)) as [Tensor, Tensor, Tensor];
      (await this.#copy.plan(from, to, lengths)).run(inputs);
    }
  }

  /** Computes tokens of prompts, at most {@link maxPrefillRows}, and samples after the last ones, at most {@link maxLast}. */
  async prefill(rows: readonly PrefillRow[], alternatives: number): Promise<Top | undefined> {
    const size = PREFILL_ROWS.find((n) => n >= rows.length) ?? this.maxPrefillRows;
    const column = (of: (row: PrefillRow) => number, none: number): Uint32Array =>
      Uint32Array.from({ length: size }, (_, i) => (rows[i] ? of(rows[i]) : none));
    const last = rows.flatMap((row, i) => (row.isLast ? [i] : []));
    const lastColumn = (of: (i: number) => number, none: number): Uint32Array =>
      Uint32Array.from({ length: this.maxLast }, (_, i) =>
        last[i] === undefined ? none : of(last[i]),
      );
    const inputs = [
      column((r) => r.token, 0),
      column((r) => r.slot, NONE),
      column((r) => r.position, 0),
      lastColumn((i) => i, 0),
      lastColumn((i) => (rows[i] as PrefillRow).slot, NONE),
    ] as const;
    const run = this.#prefill(alternatives);
    const [a, b, c, d, e] = inputs.map((i) => tensor(i)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    if (alternatives > 0) return readTop(await run(a, b, c, d, e), alternatives);
    (await run.plan(a, b, c, d, e)).run(inputs);
    return undefined;
  }

  /** Draws `steps` tokens for each of the slots; with alternatives, one. */
  async decode(
    slots: readonly number[],
    steps: number,
    alternatives: number,
  ): Promise<Top | undefined> {
    const size = this.#rowsFor(slots.length);
    const rows = this.#rowSlots(size);
    rows.write(
      this.#device,
      Uint32Array.from({ length: size }, (_, i) => slots[i] ?? NONE),
    );
    const run = this.#decode(size, alternatives);
    if (alternatives > 0) return readTop(await run(), alternatives);
    const plan = await run.plan();
    for (let step = 0; step < steps; step++) plan.run([]);
    return undefined;
  }

  /** The log [slots, steps + 1, 4] of `advance`. */
  async readLog(): Promise<Uint32Array> {
    return (await this.#states.log.read()) as Uint32Array;
  }

  [Symbol.dispose](): void {
    for (const run of [this.#copy, ...this.#prefills.values(), ...this.#decodes.values()])
      run[Symbol.dispose]();
    this.cache[Symbol.dispose]();
    this.#settings[Symbol.dispose]();
    for (const state of [...Object.values(this.#states), ...this.#rows.values()])
      (state as State)[Symbol.dispose]();
  }

  /**
   * On a CPU driver's kernels a row's bits do not depend on how many rows there are, so few slots take few rows. On
   * hardware the kernels for few rows add in another order: there the number of rows never changes.
   */
  #rowsFor(count: number): number {
    const { batch } = this.#options;
    if (!this.#device.isSoftware) return batch;
    return Math.min(batch, 2 ** Math.ceil(Math.log2(Math.max(1, count))));
  }

  #rowSlots(size: number): State {
    const known = this.#rows.get(size);
    if (known) return known;
    const made = new State([size], "u32", 0, `slots of ${size} rows`);
    this.#rows.set(size, made);
    return made;
  }

  #prefill(alternatives: number): Compiled<[Tensor, Tensor, Tensor, Tensor, Tensor], DecodeOutput> {
    const known = this.#prefills.get(alternatives);
    if (known) return known;
    const { transformer } = this.#model;
    const made = compile(
      (tokens: Tensor, slots: Tensor, positions: Tensor, last: Tensor, lastSlots: Tensor) => {
        const hidden = transformer.hidden(tokens, this.cache.rows(slots, positions));
        return this.#sample(take(hidden, last), lastSlots, alternatives);
      },
      { device: this.#device, label: "prefill" },
    );
    this.#prefills.set(alternatives, made);
    return made;
  }

  #decode(size: number, alternatives: number): Compiled<[], DecodeOutput> {
    const key = `${size} ${alternatives}`;
    const known = this.#decodes.get(key);
    if (known) return known;
    const slots = this.#rowSlots(size);
    const made = compile(
      () => {
        // positions of rows without a slot are clamped: to one that exists, and nothing is written there
        const [tokens, positions] = [this.#states.tokens, this.#states.positions].map((state) =>
          takeAlongAxis(state, slots, 0),
        ) as [Tensor, Tensor];
        const hidden = this.#model.transformer.hidden(tokens, this.cache.rows(slots, positions));
        return this.#sample(hidden, slots, alternatives);
      },
      { device: this.#device, label: "decode" },
    );
    this.#decodes.set(key, made);
    return made;
  }

  /** hidden [N, width] of rows of slots [N] → one token for each. */
  #sample(hidden: Tensor, slots: Tensor, alternatives: number): DecodeOutput {
    const logits = this.#model.transformer.logits(hidden);
    const { positions } = this.#states;
    const sampled = sample(logits, { slots, settings: this.#settings, positions });
    advance(sampled, slots, this.#states);
    if (alternatives === 0) return {};
    const top = topK(logits, alternatives);
    return { ids: top.indices, logits: top.values, logSumExp: sampled.logSumExp };
  }
}

async function readTop(output: DecodeOutput, count: number): Promise<Top> {
  const { ids, logits, logSumExp } = output as Exclude<DecodeOutput, Record<string, never>>;
  return {
    count,
    ids: Uint32Array.from(await ids.read()),
    logits: (await logits.read()) as Float32Array,
    logSumExp: (await logSumExp.read()) as Float32Array,
  };
}
