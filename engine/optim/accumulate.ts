/** Gradient accumulation: one optimizer step from the gradients of several micro-batches. */
import { ForgeError } from "../error.ts";
import { Expression } from "../graph/expression.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { mapKernel } from "../graph/map-kernel.ts";
import { add, mul, notEqual, where } from "../ops/elementwise.ts";
import { pack } from "../ops/pack.ts";
import { broadcastTo, slice } from "../ops/view.ts";
import { beforeEveryCall, latestValue, State } from "../tensor/state.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import type { FlatParameters, Optimizer, StepResult } from "./flat.ts";

/** Inputs total, grad, factors [2] (keep, weight). total ← keep · total + weight · grad, in place; keep 0 forgets it. */
const accumulateOp: KernelOp = {
  name: "accumulate",
  kind: "kernel",
  updates: { 0: 0 },
  lower: (context, node) => {
    const [total, grad, factors] = node.inputs as readonly [Tensor, Tensor, Tensor];
    const [keep, weight] = [0, 1].map((i) => broadcastTo(slice(factors, 0, i, i + 1), total.shape));
    // A product with 0 would keep a NaN.
    const kept = where(notEqual(keep as Tensor, 0), mul(total, keep as Tensor), 0);
    const value = add(kept, mul(grad, weight as Tensor));
    const expression = new Expression(value, {
      canonical: (t) => t,
      operand: (t) => {
        const input = node.inputs.findIndex((i) => i.node === t.node && i.output === t.output);
        return input < 0 ? undefined : context.input(input);
      },
    });
    context.call(mapKernel(context.device, "accumulate", expression, context.output(0), "f32"));
  },
};

/** Options of {@link GradientAccumulator}. */
export interface AccumulateOptions {
  /**
   * What the optimizer steps with: the mean of the gradients (losses that are means of their micro-batch), or their sum
   * (losses divided by the whole batch's size already). Default `mean`.
   */
  readonly reduction?: "mean" | "sum";
  /**
   * The sum is kept in pieces of so many elements or a parameter more, each of which is there as soon as the gradients are that
   * belong to it. Default: one piece.
   */
  readonly pieceSize?: number;
}

/** A part of the sum: elements `from` to before `to` of the flat parameters. */
export interface SumPiece {
  readonly state: State;
  readonly from: number;
  readonly to: number;
  /** Parameters from `first` to before `last` lie in it. */
  readonly first: number;
  readonly last: number;
}

/**
 * Adds up gradients of micro-batches, in functions compiled apart: one calls `add`, another `step`, or one both for the
 * last micro-batch. How many there are is data: the next `add` after a step starts anew.
 *
 * ```ts
 * const accumulator = new GradientAccumulator(optimizer);
 * const micro = compile((x: Tensor) => { const l = loss(x); accumulator.add(grad(l, optimizer.parameters)); return l; });
 * const step = compile(() => ({ ...accumulator.step() }));
 * ```
 */
export class GradientAccumulator implements Disposable {
  readonly #optimizer: Optimizer;
  readonly #isMean: boolean;
  /** In the layout of the flat parameters. */
  readonly total: State;
  readonly pieces: readonly SumPiece[];
  readonly #factors: State;
  #count = 0;

  constructor(optimizer: Optimizer, options: AccumulateOptions = {}) {
    this.#optimizer = optimizer;
    this.#isMean = (options.reduction ?? "mean") === "mean";
    this.pieces = piecesOf(optimizer.flat, options.pieceSize ?? Number.POSITIVE_INFINITY);
    const states = this.pieces.map(({ state }) => state);
    this.total =
      states.length === 1
        ? (states[0] as State)
        : State.flatten(optimizer.flat.device, states, "accumulated gradients");
    this.#factors = new State([2], "f32", 0, "accumulation factors");
  }

  /** Micro-batches since the last step. */
  get count(): number {
    return this.#count;
  }

  /**
   * Takes in the gradients of one micro-batch; inside a compiled function, once per function.
   *
   * Errors    `argument_invalid` unless there is one for each parameter.
   */
  add(grads: readonly Tensor[] | Tensor): void {
    for (const piece of this.pieces) {
      const { state } = piece;
      const inputs = [state, this.#gradientOf(piece, grads), this.#factors];
      state.assign(new Tensor(makeNode(accumulateOp, inputs, {}, [state]), 0));
    }
    beforeEveryCall((device) => {
      const before = this.#count++;
      const [keep, weight] = this.#isMean
        ? [before / this.#count, 1 / this.#count]
        : [Math.min(1, before), 1];
      this.#factors.write(device, Float32Array.of(keep, weight));
    });
  }

  /**
   * Steps the optimizer with what has been added; inside a compiled function.
   *
   * @param gradScale as in {@link Optimizer.step}
   *
   * Errors    `argument_invalid` in a call before which nothing was added.
   */
  step(gradScale = 1): StepResult {
    beforeEveryCall(() => {
      if (this.#count === 0) {
        throw new ForgeError({
          code: "argument_invalid",
          what: "accumulator: there are no gradients to step with.",
          fix: "call the function that adds gradients first",
        });
      }
      this.#count = 0;
    });
    return this.#optimizer.step(this.#latest(), gradScale);
  }

  /** Forgets what has been added, as after a step: where a later micro-batch failed. */
  reset(): void {
    this.#count = 0;
  }

  /** Frees the sum. */
  [Symbol.dispose](): void {
    for (const { state } of this.pieces) state[Symbol.dispose]();
    this.#factors[Symbol.dispose]();
  }

  #gradientOf({ from, to, first, last }: SumPiece, grads: readonly Tensor[] | Tensor): Tensor {
    const { flat } = this.#optimizer;
    if (this.pieces.length === 1) return flat.pack(grads);
    if (grads instanceof Tensor) return slice(flat.pack(grads), 0, from, to);
    flat.checkCount(grads);
    const offsets = flat.offsets.slice(first, last).map((offset) => offset - from);
    return pack(grads.slice(first, last), offsets, to - from);
  }

  /** The sum as it is in the function being traced. */
  #latest(): Tensor {
    const [first] = this.pieces;
    if (first && this.pieces.length === 1) return latestValue(first.state);
    const latest = this.pieces.map(({ state }) => latestValue(state));
    const isAsBefore = latest.every((value, i) => value === this.pieces[i]?.state);
    if (isAsBefore) return this.total;
    return pack(
      latest,
      this.pieces.map(({ from }) => from),
      this.total.size,
    );
  }
}

/** Parameters one behind the other, as many as make a piece. */
function piecesOf({ offsets, flat }: FlatParameters, pieceSize: number): SumPiece[] {
  const pieces: SumPiece[] = [];
  for (let first = 0; first < Math.max(1, offsets.length); ) {
    const from = offsets[first] ?? 0;
    let last = first + 1;
    while (last < offsets.length && (offsets[last] as number) - from < pieceSize) last++;
    const to = offsets[last] ?? flat.size;
    const state = new State([to - from], "f32", 0, `accumulated gradients from ${from}`);
    pieces.push({ state, from, to, first, last });
    first = last;
  }
  return pieces;
}
