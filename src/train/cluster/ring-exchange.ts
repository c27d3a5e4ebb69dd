/** An update of several nodes, whose gradients are summed in a ring. */
import {
  bucketsOf,
  bytesOf,
  type CollectiveRun,
  type Collectives,
  type ElementRange,
  ownedRange,
  RingVector,
  type WireType,
} from "../../../cluster/index.ts";
import type { AdamW, GradientReadback, Reading } from "../../../engine/index.ts";
import type { OwnGradients, Share, SharedUpdate } from "../learner/gradient-exchange.ts";
import type { SharedExchange } from "../together.ts";
import { areAddable } from "./addable.ts";

/** Who updates what. `zero1`: the owner of a segment, and parameters are gathered; `ddp`: everybody everything. */
export type Sync = "zero1" | "ddp";

/** What {@link RingExchange} is made with. */
export interface RingExchangeOptions {
  readonly sync: Sync;
  /** What gradients are rounded to on their way. Parameters never are. */
  readonly wire: WireType;
  /** Clips gradients to this global norm. Default: no clipping. */
  readonly clipNorm?: number;
}

/** As `torch.nn.utils.clip_grad_norm_` has it, and the optimizer's kernel. */
const CLIP_EPSILON = 1e-6;

/** Elements of a piece of the gradients, 1 MiB: small beside a bucket, and large beside what it costs to add one up apart. */
const PIECE = 2 ** 18;

/**
 * See the file's head. Between {@link enter} and the end of a step it belongs to the ring of an epoch. Gradients are packed for the wire on
 * the GPU, and each bucket leaves as soon as the last batch's are added to it, while the others are computed.
 *
 * Norms are summed on the host, in f64 and in the order of the segments, so that all nodes clip alike whatever their GPUs round.
 * With `zero1` the same holds for the parameters themselves: nodes have what the owners have computed.
 */
export class RingExchange implements SharedExchange {
  readonly pieceSize: number = PIECE;
  /** What each node has of a gradient says nothing of its norm. */
  readonly isClipping = true;
  readonly sync: Sync;
  readonly #options: RingExchangeOptions;
  #optimizer: AdamW | undefined;
  #gradient: RingVector | undefined;
  #gathered: RingVector | undefined;
  #readback: GradientReadback | undefined;
  #ring: Collectives | undefined;
  #signal: AbortSignal | undefined;
  #parameters: Float32Array | undefined;

  constructor(options: RingExchangeOptions) {
    this.sync = options.sync;
    this.#options = options;
  }

  /** The parameters after the last step since {@link enter} [flat]; undefined before one. */
  get parameters(): Float32Array | undefined {
    return this.#parameters;
  }

  /** The optimizer whose steps these are. Once. */
  attach(optimizer: AdamW): void {
    this.#optimizer = optimizer;
  }

  /** A step begins, in a ring. */
  enter(ring: Collectives, signal: AbortSignal): void {
    [this.#ring, this.#signal, this.#parameters] = [ring, signal, undefined];
    // an attempt that came to nothing has lost what it was to carry on
    this.#gradient?.restoreResidual();
    this.#readback?.restoreResidual();
  }

  /** What is lost in rounding is of the steps that count. */
  commit(): void {
    this.#gradient?.keepResidual();
    this.#readback?.keepResidual();
  }

  /** What was lost in rounding is forgotten: the node has another state now. */
  forget(): void {
    this.#gradient?.clearResidual();
    this.#readback?.clearResidual();
  }

  /** The elements of the flat parameters that a node updates. */
  rangeOf(rank: number, world: number): ElementRange {
    const length = this.#state.flat.flat.size;
    if (this.sync === "ddp") return { from: 0, to: length };
    return ownedRange(length, { rank, world });
  }

  shareOf(tokens: readonly number[], episodes: readonly number[]): Share {
    const { rank, world } = this.#place;
    return shareOf(tokens, episodes, { rank, world });
  }

  sum(values: Float32Array): Promise<Float32Array> {
    return this.#place.sum(values, this.#signal);
  }

  async begin(gradients: OwnGradients): Promise<SharedUpdate> {
    const { wire } = this.#options;
    const { length } = gradients;
    const readback = await gradients.readback(wire, bucketsOf(length));
    this.#readback = readback;
    this.#gradient ??= new RingVector(length, wire, { contribution: "packed" });
    const vector = this.#gradient;
    const phases = this.sync === "zero1" ? "reduce" : "both";
    const run = this.#place.start(vector, phases, this.#signal);
    const leaving = new LeavingGradients(vector, run, readback);
    return {
      watch: leaving.reading.watch,
      added: async () => {
        const isSound = await leaving.end(gradients.isEmpty);
        await run.done;
        vector.carryResidual();
        return isSound;
      },
      step: () => this.#step(vector, gradients),
    };
  }

  /** Steps with the sum, of which this node has its segment. */
  async #step(vector: RingVector, gradients: OwnGradients): Promise<number> {
    const ring = this.#place;
    const range = this.rangeOf(ring.rank, ring.world);
    const norm = await this.#norm(vector.result, range);
    if (!Number.isFinite(norm)) return norm;
    const { clipNorm } = this.#options;
    const factor = clipNorm === undefined ? 1 : Math.min(1, clipNorm / (norm + CLIP_EPSILON));
    await gradients.stepWith(this.#scaled(vector.result, range, factor));
    const { flat, device } = this.#state.flat;
    const stepped = (await flat.readPart(device, range.from, range.to)) as Float32Array;
    const isSharded = this.sync === "zero1";
    this.#parameters = isSharded ? await this.#gather(stepped, vector.length, range) : stepped;
    if (isSharded) flat.write(device, this.#parameters);
    return norm;
  }

  /** The gradient of this node's range, times a factor, in the layout of what its optimizer steps; zeros beside it. */
  #scaled(gradient: Float32Array, { from, to }: ElementRange, factor: number): Float32Array {
    const { range } = this.#state.flat;
    const scaled = new Float32Array(range.to - range.from);
    for (let i = from; i < to; i++) scaled[i - range.from] = factor * (gradient[i] as number);
    return scaled;
  }

  /** The parameters of all, of which this node has stepped a range. */
  async #gather(
    stepped: Float32Array,
    length: number,
    { from }: ElementRange,
  ): Promise<Float32Array> {
    const isPlain = this.#options.wire === "f32";
    // the gradient has served its turn
    if (!isPlain) this.#gathered ??= new RingVector(length, "f32");
    const vector = (isPlain ? this.#gradient : this.#gathered) as RingVector;
    vector.result.set(stepped, from);
    await this.#place.gather(vector, this.#signal);
    return Float32Array.from(vector.result);
  }

  /** The global norm of a gradient of which this node has a segment, or all. */
  async #norm(gradient: Float32Array, { from, to }: ElementRange): Promise<number> {
    const ring = this.#place;
    let squares = 0;
    for (let i = from; i < to; i++) squares += (gradient[i] as number) ** 2;
    const own = Math.sqrt(squares);
    if (this.sync === "ddp") return own;
    const all = new Float32Array(2 * ring.world);
    // two floats are nearly a double
    const high = Math.fround(own);
    if (Number.isFinite(high)) all.set([high, own - high], 2 * ring.rank);
    else all.set([0, -1], 2 * ring.rank);
    const summed = await this.sum(all);
    let total = 0;
    for (let rank = 0; rank < ring.world; rank++) {
      const [root, rest] = [summed[2 * rank] as number, summed[2 * rank + 1] as number];
      if (root === 0 && rest < 0) return Number.POSITIVE_INFINITY;
      total += (root + rest) ** 2;
    }
    return Math.sqrt(total);
  }

  get #place(): Collectives {
    if (!this.#ring) throw new Error("a ring exchange is used outside of a step");
    return this.#ring;
  }

  get #state(): AdamW {
    if (!this.#optimizer) throw new Error("a ring exchange has no optimizer");
    return this.#optimizer;
  }
}

/** Puts gradients into a vector as they come, and has each bucket sent. */
class LeavingGradients {
  readonly reading: Reading;
  readonly #vector: RingVector;
  readonly #run: CollectiveRun;
  #isSound = true;

  constructor(vector: RingVector, run: CollectiveRun, readback: GradientReadback) {
    this.#vector = vector;
    this.#run = run;
    this.reading = readback.begin((bucket, bytes) => this.#take(bucket, bytes));
  }

  /** Waits until all have been put down; whether all were {@link areAddable}. A node without any gives zeros. */
  async end(isEmpty: boolean): Promise<boolean> {
    if (!isEmpty) await this.reading.done;
    else for (const bucket of this.#run.buckets.keys()) this.#take(bucket, undefined);
    return this.#isSound;
  }

  /** What is not sound is not sent: all nodes are told of it together. */
  #take(bucket: number, bytes: Uint8Array | undefined): void {
    const { packedContribution, wire } = this.#vector;
    const { from, to } = this.#run.buckets[bucket] as ElementRange;
    const place = packedContribution.subarray(bytesOf(from, wire), bytesOf(to, wire));
    const isSound = bytes === undefined || areAddable(bytes, wire);
    if (bytes !== undefined && isSound) place.set(bytes);
    else place.fill(0);
    this.#isSound &&= isSound;
    this.#run.ready(bucket);
  }
}

/**
 * A node's share of samples that lie one behind the other: whole episodes, as many tokens for each node as can be, in the order
 * of the ranks, so that samples with common beginnings stay together.
 */
export function shareOf(
  tokens: readonly number[],
  episodes: readonly number[],
  { rank, world }: { readonly rank: number; readonly world: number },
): Share {
  const total = tokens.reduce((sum, count) => sum + count, 0);
  const shares: number[] = [];
  let before = 0;
  for (let from = 0; from < tokens.length; ) {
    let to = from + 1;
    while (to < tokens.length && episodes[to] === episodes[from]) to++;
    const own = tokens.slice(from, to).reduce((sum, count) => sum + count, 0);
    const middle = before + own / 2;
    const share = total === 0 ? 0 : Math.min(world - 1, Math.floor((world * middle) / total));
    for (let i = from; i < to; i++) shares.push(share);
    before += own;
    from = to;
  }
  const from = shares.findIndex((share) => share >= rank);
  const to = shares.findIndex((share) => share > rank);
  const end = to < 0 ? shares.length : to;
  return { from: from < 0 ? end : from, to: end };
}
