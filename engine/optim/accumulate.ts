/** Gradient accumulation: one optimizer step from the gradients of several micro-batches. */
import { ForgeError } from "../error.ts";
import { Expression } from "../graph/expression.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { mapKernel } from "../graph/map-kernel.ts";
import { add, mul, notEqual, where } from "../ops/elementwise.ts";
import { broadcastTo, slice } from "../ops/view.ts";
import { beforeEveryCall, latestValue, State } from "../tensor/state.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import type { Optimizer, StepResult } from "./flat.ts";

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
  readonly #total: State;
  readonly #factors: State;
  #count = 0;

  constructor(optimizer: Optimizer, options: AccumulateOptions = {}) {
    this.#optimizer = optimizer;
    this.#isMean = (options.reduction ?? "mean") === "mean";
    this.#total = optimizer.flat.zeros("accumulated gradients");
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
    const grad = this.#optimizer.flat.pack(grads);
    const inputs = [this.#total, grad, this.#factors];
    this.#total.assign(new Tensor(makeNode(accumulateOp, inputs, {}, [this.#total]), 0));
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
   * Errors    `argument_invalid` in a call before which nothing was added.
   */
  step(): StepResult {
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
    return this.#optimizer.step(latestValue(this.#total));
  }

  /** What has been added since the last step, on the host, in the layout of the flat parameters; it is forgotten. Zeros for nothing. */
  async take(): Promise<Float32Array> {
    const isEmpty = this.#count === 0;
    this.#count = 0;
    if (isEmpty) return new Float32Array(this.#total.size);
    return (await this.#total.read()) as Float32Array;
  }

  /** Forgets what has been added, as after a step: where a later micro-batch failed. */
  reset(): void {
    this.#count = 0;
  }

  /** Frees the sum. */
  [Symbol.dispose](): void {
    for (const state of [this.#total, this.#factors]) state[Symbol.dispose]();
  }
}
