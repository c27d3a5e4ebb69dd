/** Stochastic gradient descent over all parameters in one dispatch. */
import type { Device } from "../gpu/device.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { State } from "../tensor/state.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import {
  FlatParameters,
  type Optimizer,
  type OptimizerOptions,
  type OptimizerState,
  type StepResult,
} from "./flat.ts";
import { type SgdConstants, sgdScalars, sgdStep } from "./optimizer-kernels.ts";

/** Options of {@link SGD}. */
export interface SgdOptions extends OptimizerOptions {
  /** Share of the last direction that is kept. Default 0. */
  readonly momentum?: number;
  /** Look ahead along the momentum. Default false. */
  readonly nesterov?: boolean;
}

/** Inputs grad, groups, table, scalars, param, v; the last two are updated in place. */
const sgdOp: KernelOp = {
  name: "sgd",
  kind: "kernel",
  updates: { 0: 4, 1: 5 },
  lower: (context, node) => {
    const count = node.outputs[0]?.shape[0] ?? 0;
    const constants = node.attributes as unknown as SgdConstants;
    const inputs = [0, 1, 2, 3].map((i) => context.input(i).slot);
    const outputs = [0, 1].map((o) => context.output(o).slot);
    emitDispatch(context, sgdStep(context.device, count, constants), {
      bindings: [...inputs, ...outputs],
      flops: 6 * count,
    });
  },
};

/**
 * Stochastic gradient descent with momentum, in PyTorch's form (dampening 0): g = grad + decay · p; v = momentum · v + g;
 * p −= lr · (nesterov ? g + momentum · v : v).
 *
 * Parameters move into one flat state when the optimizer is made.
 * Source    Sutskever, Martens, Dahl & Hinton 2013, ICML; torch.optim.SGD
 */
export class SGD implements Optimizer {
  readonly kind = "sgd";
  readonly flat: FlatParameters;
  /** Momentum, in the layout of the flat parameters; a placeholder when there is none. */
  readonly v: State;
  readonly #options: SgdOptions;
  readonly #constants: SgdConstants;

  constructor(device: Device, parameters: readonly State[], options: SgdOptions) {
    const { momentum = 0, nesterov = false } = options;
    this.flat = new FlatParameters(device, parameters, options);
    this.v = momentum === 0 ? new State([4], "f32", 0, "sgd v") : this.flat.zeros("sgd v");
    this.#options = options;
    this.#constants = { momentum, nesterov };
  }

  /** The parameters, in the order that `step` expects gradients. */
  get parameters(): readonly State[] {
    return this.flat.parameters;
  }

  /** Updates the parameters; inside a compiled function, once per function. See {@link Optimizer.step}. */
  step(grads: readonly Tensor[] | Tensor, gradScale = 1): StepResult {
    const scalarsOf = (_step: number, lr: number): Float32Array => sgdScalars(lr);
    const prepared = this.flat.prepare(grads, this.#options, scalarsOf, gradScale);
    const { flat, groups, table } = this.flat;
    const states = [flat, this.v];
    const inputs = [prepared.grad, groups, table, prepared.scalars, ...states];
    const node = makeNode(sgdOp, inputs, { ...this.#constants }, states);
    states.forEach((s, i) => {
      s.assign(new Tensor(node, i));
    });
    return { gradNorm: prepared.gradNorm, isSkipped: prepared.isSkipped };
  }

  /** Step count and momentum as host arrays by parameter. */
  save(): Promise<OptimizerState> {
    return this.flat.save(this.kind, this.#saved());
  }

  /** Goes on from a saved state. Errors: `argument_invalid`, `shape_mismatch`. */
  restore(state: OptimizerState): void {
    this.flat.restore(this.kind, this.#saved(), state);
  }

  /** Frees the momentum. The parameters keep their values. */
  [Symbol.dispose](): void {
    for (const owner of [this.v, this.flat]) owner[Symbol.dispose]();
  }

  #saved(): Record<string, State> {
    return this.#constants.momentum === 0 ? {} : { v: this.v };
  }
}
