/** Gradients on their way to the host: packed on the GPU, and read piece by piece while the rest is still computed. */
import { ForgeError } from "../error.ts";
import { type Compiled, compile } from "../graph/compile.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import type { Plan, Watch } from "../graph/plan.ts";
import { State } from "../tensor/state.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import type { GradientAccumulator } from "./accumulate.ts";
import type { FlatParameters } from "./flat.ts";
import { type FlatRange, packBf16, packInt8 } from "./optimizer-kernels.ts";

/**
 * How elements are packed, little-endian: `f32`, 4 bytes; `bf16`, 2, rounded to nearest; `int8`, blocks of 256 elements, each an f32
 * scale and a byte an element, where what rounding loses is added to the next gradient.
 */
export type GradientFormat = "f32" | "bf16" | "int8";

/** Elements that share a scale. */
const BLOCK = 256;

/** Inputs total, packed (u32). */
const packBf16Op: KernelOp = {
  name: "pack_bf16",
  kind: "kernel",
  updates: { 0: 1 },
  lower: (context, node) => {
    emitDispatch(context, packBf16(context.device, node.attributes as unknown as FlatRange), {
      bindings: [context.input(0).slot, context.output(0).slot],
    });
  },
};

/** Inputs total, residual, packed (u32). */
const packInt8Op: KernelOp = {
  name: "pack_int8",
  kind: "kernel",
  updates: { 0: 1, 1: 2 },
  lower: (context, node) => {
    const count = node.inputs[0]?.size ?? 0;
    const range = node.attributes as unknown as FlatRange;
    emitDispatch(context, packInt8(context.device, range, count), {
      bindings: [context.input(0).slot, context.output(0).slot, context.output(1).slot],
    });
  },
};

/** What {@link GradientReadback} is made with. */
export interface GradientReadbackOptions {
  readonly format: GradientFormat;
  /** Parts of the flat parameters that are read each for itself, which begin at multiples of 256; together they are all. */
  readonly ranges: readonly FlatRange[];
}

/** Takes the bytes of a range, which are there while it is called. */
export type TakeRange = (range: number, bytes: Uint8Array) => void;

/** A reading under way. */
export interface Reading {
  /** For the call that adds the last gradients. */
  readonly watch: Watch;
  /** When all ranges have been taken. Errors: those of the device. */
  readonly done: Promise<void>;
}

/** Packs a range. */
interface Packer {
  readonly compiled: Compiled<[], Tensor[]>;
  readonly plan: Plan;
}

/** See the file's head. */
export class GradientReadback implements Disposable {
  readonly #accumulator: GradientAccumulator;
  readonly #flat: FlatParameters;
  readonly #options: GradientReadbackOptions;
  /** As it is read: the sum itself, or what it is packed to. */
  readonly #packed: State;
  readonly #residual: State | undefined;
  /** What {@link restoreResidual} comes back to. */
  #kept: State | undefined;
  #packers: readonly Packer[] | undefined;

  /** Errors    `argument_invalid` for ranges that do not fit. */
  constructor(
    accumulator: GradientAccumulator,
    flat: FlatParameters,
    options: GradientReadbackOptions,
  ) {
    const { format, ranges } = options;
    const { size } = flat.flat;
    checkRanges(ranges, size);
    this.#accumulator = accumulator;
    this.#flat = flat;
    this.#options = options;
    this.#packed =
      format === "f32"
        ? accumulator.total
        : new State([packedBytes(format, size) / 4], "u32", 0, "packed gradients");
    this.#residual = format === "int8" ? flat.zeros("residual of gradients") : undefined;
  }

  /** Compiles what packs; before the first reading. */
  async prepare(): Promise<void> {
    if (this.#packers || this.#options.format === "f32") return;
    const { device } = this.#flat;
    this.#packers = await Promise.all(
      this.#options.ranges.map(async (range): Promise<Packer> => {
        const compiled = compile(() => this.#pack(range), { device, label: "pack gradients" });
        return { compiled, plan: await compiled.plan() };
      }),
    );
  }

  /** Reads each range as soon as all gradients are there that belong to it. */
  begin(take: TakeRange): Reading {
    const { pieces } = this.#accumulator;
    const { ranges } = this.#options;
    const missing = ranges.map(
      (range) => new Set(pieces.filter((piece) => overlap(piece, range)).map(({ state }) => state)),
    );
    const reads: Promise<void>[] = [];
    let settle: (done: Promise<unknown>) => void = () => {};
    const done = new Promise<unknown>((resolve) => {
      settle = resolve;
    }).then(() => {});
    // whoever does not wait for it has an error of its own
    done.catch(() => {});
    const onWritten = (state: State): void => {
      for (const [i, states] of missing.entries())
        if (states.delete(state) && states.size === 0) reads.push(this.#read(i, take));
      if (missing.every(({ size }) => size === 0)) settle(Promise.all(reads));
    };
    return { watch: { states: pieces.map(({ state }) => state), onWritten }, done };
  }

  /** Reads all ranges: nothing more is added. */
  async readAll(take: TakeRange): Promise<void> {
    await Promise.all(this.#options.ranges.map((_, i) => this.#read(i, take)));
  }

  /** What rounding has lost so far is owed from now on. */
  keepResidual(): void {
    if (!this.#residual) return;
    this.#kept ??= this.#flat.zeros("kept residual of gradients");
    this.#kept.copyFrom(this.#flat.device, this.#residual);
  }

  /** What was lost since {@link keepResidual} is forgotten. */
  restoreResidual(): void {
    const { device } = this.#flat;
    if (this.#kept) this.#residual?.copyFrom(device, this.#kept);
    else this.#residual?.write(device, new Float32Array(this.#residual.size));
  }

  /** Nothing is owed. */
  clearResidual(): void {
    this.#kept?.[Symbol.dispose]();
    this.#kept = undefined;
    this.restoreResidual();
  }

  /** Frees what is packed and owed, but not the sum. */
  [Symbol.dispose](): void {
    for (const { compiled } of this.#packers ?? []) compiled[Symbol.dispose]();
    this.#packers = undefined;
    for (const state of [this.#residual, this.#kept]) state?.[Symbol.dispose]();
    if (this.#packed !== this.#accumulator.total) this.#packed[Symbol.dispose]();
  }

  /** Submits the packing and the copy at once; what comes back is waited for. */
  #read(range: number, take: TakeRange): Promise<void> {
    const { format, ranges } = this.#options;
    const { from, to } = ranges[range] as FlatRange;
    this.#packers?.[range]?.plan.run([]);
    const [first, last] = [from, to].map((at) => packedBytes(format, at) / 4) as [number, number];
    return this.#packed.usePart(this.#flat.device, first, last, (bytes) => take(range, bytes));
  }

  /** Traced. */
  #pack(range: FlatRange): Tensor[] {
    const { total } = this.#accumulator;
    const states = this.#residual ? [this.#residual, this.#packed] : [this.#packed];
    const op = this.#residual ? packInt8Op : packBf16Op;
    const node = makeNode(op, [total, ...states], { ...range }, states);
    for (const [i, state] of states.entries()) state.assign(new Tensor(node, i));
    return [];
  }
}

/** Bytes of so many elements from the first on. */
function packedBytes(format: GradientFormat, elements: number): number {
  if (format === "f32") return 4 * elements;
  return format === "bf16" ? 2 * elements : elements + 4 * Math.ceil(elements / BLOCK);
}

function overlap(a: FlatRange, b: FlatRange): boolean {
  return a.from < b.to && b.from < a.to;
}

function checkRanges(ranges: readonly FlatRange[], size: number): void {
  let at = 0;
  for (const { from, to } of ranges) {
    const isNext = from === at && from % BLOCK === 0 && to >= from && to <= size;
    at = isNext ? to : Number.NaN;
  }
  if (at === size) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "gradient readback: the ranges are not all of the flat parameters, one behind the other.",
    got: ranges.map(({ from, to }) => `${from} to ${to}`).join(", "),
    fix: `cut ${size} elements at multiples of ${BLOCK}`,
  });
}
