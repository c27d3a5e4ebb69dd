/** AdamW over all parameters in one dispatch. */
import type { Device } from "../gpu/device.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import type { State } from "../tensor/state.ts";
import { makeNode, type Tensor, Tensor as TensorClass } from "../tensor/tensor.ts";
import {
  FlatParameters,
  type Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type StepResult,
} from "./flat.ts";
import {
  type AdamWConstants,
  adamwScalars,
  adamwStep,
  type FlatRange,
} from "./optimizer-kernels.ts";

/** Options of {@link AdamW}. */
export interface AdamWOptions extends OptimizerOptions {
  /** Decay of the first and second moment. Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8; down to 0 without underflow. */
  readonly eps?: number;
}

/** Inputs grad, groups, table, scalars, param, m, u; the last three are updated in place. */
const adamwOp: KernelOp = {
  name: "adamw",
  kind: "kernel",
  updates: { 0: 4, 1: 5, 2: 6 },
  lower: (context, node) => {
    const count = node.outputs[1]?.shape[0] ?? 0;
    const { first, ...constants } = node.attributes as unknown as AdamWConstants & {
      first: number;
    };
    emitDispatch(context, adamwStep(context.device, count, constants, first), {
      bindings: [0, 1, 2, 3]
        .map((i) => context.input(i).slot)
        .concat([0, 1, 2].map((o) => context.output(o).slot)),
      flops: 16 * count,
    });
  },
};

/**
 * AdamW with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101; PyTorch's formula).
 *
 * Parameters move into one flat state when the optimizer is made. The second moment is kept as its square root.
 */
export class AdamW implements Optimizer {
  readonly kind = "adamw";
  readonly flat: FlatParameters;
  #m: State;
  #u: State;
  readonly #options: AdamWOptions;
  readonly #constants: AdamWConstants;

  constructor(device: Device, parameters: readonly State[], options: AdamWOptions) {
    this.flat = new FlatParameters(device, parameters, options);
    this.#m = this.flat.zeros("adamw m");
    this.#u = this.flat.zeros("adamw u");
    this.#options = options;
    const [beta1, beta2] = options.betas ?? [0.9, 0.999];
    this.#constants = { beta1, beta2, epsilon: options.eps ?? 1e-8 };
  }

  /** The parameters, in the order that `step` expects gradients. */
  get parameters(): readonly State[] {
    return this.flat.parameters;
  }

  /** First moment, in the layout of the flat parameters: of all of them, or of those that are {@link own}ed. */
  get m(): State {
    return this.#m;
  }

  /** Square root of the second moment, likewise. */
  get u(): State {
    return this.#u;
  }

  /**
   * Steps only a part of the flat parameters from now on, and has the moments of that part only, which begin at zeros: what is
   * left is another node's (ZeRO-1, arXiv:1910.02054). Functions that step have to be compiled anew; gradients come in the layout
   * of the part.
   *
   * @param range begins at a multiple of 64
   */
  own(range: FlatRange): void {
    const { from, to } = this.flat.range;
    if (range.from === from && range.to === to) return;
    for (const moment of [this.#m, this.#u]) moment[Symbol.dispose]();
    this.flat.range = range;
    this.#m = this.flat.zeros("adamw m", "range");
    this.#u = this.flat.zeros("adamw u", "range");
  }

  /** Updates the parameters; inside a compiled function, once per function. See {@link Optimizer.step}. */
  step(grads: readonly Tensor[] | Tensor, gradScale = 1): StepResult {
    const scalarsOf = (step: number, lr: number): Float32Array =>
      adamwScalars(step, lr, this.#constants);
    const { grad, scalars, gradNorm, isSkipped } = this.flat.prepare(
      grads,
      this.#options,
      scalarsOf,
      gradScale,
    );
    const { flat, groups, table, range } = this.flat;
    const states = [flat, this.#m, this.#u];
    const outputs = states.map((s) => ({ shape: s.shape, dtype: s.dtype }));
    const node = makeNode(
      adamwOp,
      [grad, groups, table, scalars, ...states],
      { ...this.#constants, first: range.from },
      outputs,
    );
    states.forEach((s, i) => {
      s.assign(new TensorClass(node, i));
    });
    return { gradNorm, isSkipped };
  }

  /** Step count and moments as host arrays by parameter. Errors: `argument_invalid` while only a part is {@link own}ed. */
  save(): Promise<OptimizerState> {
    return this.flat.save(this.kind, { m: this.#m, u: this.#u });
  }

  /** Goes on from a saved state, all of it. Errors: `argument_invalid`, `shape_mismatch`. */
  restore(state: OptimizerState): void {
    this.own({ from: 0, to: this.flat.flat.size });
    this.flat.restore(this.kind, { m: this.#m, u: this.#u }, state);
  }

  /** Frees the moments. The parameters keep their values. */
  [Symbol.dispose](): void {
    for (const owner of [this.#m, this.#u, this.flat]) owner[Symbol.dispose]();
  }
}
