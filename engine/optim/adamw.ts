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
import { type AdamWConstants, adamwScalars, adamwStep } from "./optimizer-kernels.ts";

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
    const count = node.outputs[0]?.shape[0] ?? 0;
    const constants = node.attributes as unknown as AdamWConstants;
    emitDispatch(context, adamwStep(context.device, count, constants), {
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
  /** First moment, and square root of the second, in the layout of the flat parameters. */
  readonly m: State;
  readonly u: State;
  readonly #options: AdamWOptions;
  readonly #constants: AdamWConstants;

  constructor(device: Device, parameters: readonly State[], options: AdamWOptions) {
    this.flat = new FlatParameters(device, parameters, options);
    this.m = this.flat.zeros("adamw m");
    this.u = this.flat.zeros("adamw u");
    this.#options = options;
    const [beta1, beta2] = options.betas ?? [0.9, 0.999];
    this.#constants = { beta1, beta2, epsilon: options.eps ?? 1e-8 };
  }

  /** The parameters, in the order that `step` expects gradients. */
  get parameters(): readonly State[] {
    return this.flat.parameters;
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
    const { flat, groups, table } = this.flat;
    const states = [flat, this.m, this.u];
    const outputs = states.map((s) => ({ shape: s.shape, dtype: s.dtype }));
    const node = makeNode(
      adamwOp,
      [grad, groups, table, scalars, ...states],
      { ...this.#constants },
      outputs,
    );
    states.forEach((s, i) => {
      s.assign(new TensorClass(node, i));
    });
    return { gradNorm, isSkipped };
  }

  /** Step count and moments as host arrays by parameter. */
  save(): Promise<OptimizerState> {
    return this.flat.save(this.kind, { m: this.m, u: this.u });
  }

  /** Goes on from a saved state. Errors: `argument_invalid`, `shape_mismatch`. */
  restore(state: OptimizerState): void {
    this.flat.restore(this.kind, { m: this.m, u: this.u }, state);
  }

  /** Frees the moments. The parameters keep their values. */
  [Symbol.dispose](): void {
    for (const owner of [this.m, this.u, this.flat]) owner[Symbol.dispose]();
  }
}
