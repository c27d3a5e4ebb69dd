/**
 * What optimizers share: parameters in one flat state, gradients packed beside them, scalars that change per step.
 */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { pack } from "../ops/pack.ts";
import { beforeEveryCall, State } from "../tensor/state.ts";
import { makeTensor, Tensor, tensor } from "../tensor/tensor.ts";
import {
  BLOCK,
  clipFactor,
  type FlatRange,
  globalNorm,
  normPartition,
  SCALARS,
  SCALARS_LENGTH,
} from "./optimizer-kernels.ts";
import type { Schedule } from "./schedule.ts";

/** Options that all optimizers take. */
export interface OptimizerOptions {
  /** Learning rate, or a schedule of the step (0 for the first). */
  readonly lr: number | Schedule;
  /** Weight decay, decoupled (AdamW) or added to the gradient (SGD). Default 0. */
  readonly weightDecay?: number;
  /** Which parameters decay. Default: those with two axes or more (no biases, no norms). */
  readonly decays?: (parameter: State) => boolean;
  /** Factor on the learning rate of a parameter. Default 1. */
  readonly lrScale?: (parameter: State) => number;
  /** Clip gradients to this global norm. Default: no clipping; steps with a non-finite norm are skipped all the same. */
  readonly clipNorm?: number;
}

/** What an optimizer step returns. */
export interface StepResult {
  /** Global L2 norm of the gradients before clipping, a scalar. */
  readonly gradNorm: Tensor;
  /** 1 when the norm was not finite and the step changed nothing, else 0. */
  readonly isSkipped: Tensor;
}

/** What optimizers have in common. */
export interface Optimizer extends Disposable {
  /** What kind of state it saves and restores: `adamw`, `sgd`. */
  readonly kind: string;
  readonly flat: FlatParameters;
  /** The parameters, in the order that `step` expects gradients. */
  readonly parameters: readonly State[];
  /**
   * Updates the parameters; inside a compiled function, once per function.
   *
   * @param grads one gradient for each parameter, or all in the layout of the flat parameters
   * @param gradScale factor on the gradients before clipping. Default 1
   */
  step(grads: readonly Tensor[] | Tensor, gradScale?: number): StepResult;
  /** Everything that `restore` needs to go on as if nothing had happened. */
  save(): Promise<OptimizerState>;
  /** Goes on from a saved state. Errors: `argument_invalid`, `shape_mismatch` when it is that of another optimizer or model. */
  restore(state: OptimizerState): void;
}

/** An optimizer's own state as host arrays; the parameters are not part of it. */
export interface OptimizerState {
  /** {@link Optimizer.kind} of the optimizer that saved it. */
  readonly kind: string;
  readonly stepCount: number;
  /** {@link FlatParameters.momentsSince}. Default 0. */
  readonly momentsSince?: number;
  /** Each of the optimizer's arrays (`m` and `u`, or `v`) by the names of the parameters. */
  readonly moments: Readonly<Record<string, Readonly<Record<string, Float32Array>>>>;
}

/** Flat storage of a set of parameters. */
export class FlatParameters implements Disposable {
  readonly device: Device;
  readonly parameters: readonly State[];
  readonly flat: State;
  readonly offsets: readonly number[];
  readonly scalars: State;
  /** Group of each block of 64 elements, and (lr scale, weight decay) of each group. */
  readonly groups: Tensor;
  readonly table: Tensor;
  /** What the optimizer steps: all elements, unless it shares them with others. */
  range: FlatRange;
  /** Steps taken so far; skipped ones count, in schedules and bias corrections too. */
  stepCount = 0;
  /** {@link stepCount} when the moments were zeros last: bias corrections count from there, schedules do not. */
  momentsSince = 0;

  constructor(device: Device, parameters: readonly State[], options: OptimizerOptions) {
    for (const p of parameters) {
      if (p.dtype === "f32" && new Set(parameters).size === parameters.length) continue;
      throw new ForgeError({
        code: "dtype_mismatch",
        what: "optimizer: parameters must be f32 and listed once.",
        got: `"${p.name}" ${p.dtype}`,
        fix: "keep master weights in f32",
      });
    }
    this.device = device;
    this.parameters = parameters;
    this.flat = State.flatten(device, parameters, "parameters");
    this.range = { from: 0, to: this.flat.size };
    this.offsets = parameters.map((p) => p.home.offset);
    this.scalars = new State([SCALARS_LENGTH], "f32", 0, "optimizer scalars");
    const { groups, table } = groupsOf(parameters, this.offsets, this.flat.size, options);
    this.groups = tensor(groups);
    this.table = tensor(table);
  }

  /** A state like the flat parameters, or those of {@link range}, zeros at first. */
  zeros(name: string, of: "all" | "range" = "all"): State {
    return new State([of === "all" ? this.flat.size : this.#count], "f32", 0, name);
  }

  /** Gradients in the layout of the flat parameters. Errors: `argument_invalid` unless there is one for each parameter. */
  pack(grads: readonly Tensor[] | Tensor): Tensor {
    if (grads instanceof Tensor && grads.size === this.flat.size) return grads;
    this.checkCount(grads);
    return pack(grads as readonly Tensor[], this.offsets, this.flat.size);
  }

  /** Errors: `argument_invalid` unless there is a gradient for each parameter. */
  checkCount(grads: readonly Tensor[] | Tensor): void {
    if (!(grads instanceof Tensor) && grads.length === this.parameters.length) return;
    throw new ForgeError({
      code: "argument_invalid",
      what: "optimizer: there is not one gradient for each parameter.",
      got: `${grads instanceof Tensor ? grads : grads.length} for ${this.parameters.length} parameters`,
      fix: "pass grad(loss, optimizer.parameters)",
    });
  }

  /** Gradients in the layout of what is stepped, and the scalars with clipping worked out. */
  prepare(
    grads: readonly Tensor[] | Tensor,
    options: OptimizerOptions,
    scalarsOf: (step: number, lr: number) => Float32Array,
    gradScale: number,
  ): { grad: Tensor; scalars: Tensor } & StepResult {
    const isPart = grads instanceof Tensor && grads.size === this.#count;
    const grad = isPart ? grads : this.pack(grads);
    if (grad.size !== this.#count) throw tooLong(grad.size, this.range);
    const partials = makeTensor(
      normOp,
      [grad],
      {},
      { shape: [4 * Math.ceil(this.#count / 1024)], dtype: "f32" },
    );
    const attributes = { maxNorm: options.clipNorm ?? 0, gradScale, count: this.#count };
    const scalars = makeTensor(clipOp, [partials, this.scalars], attributes, {
      shape: [SCALARS_LENGTH],
      dtype: "f32",
    });
    this.scalars.assign(scalars);
    beforeEveryCall((device) => {
      this.#checkHome();
      const lr = typeof options.lr === "number" ? options.lr : options.lr(this.stepCount);
      this.stepCount++;
      this.scalars.write(device, scalarsOf(this.stepCount - this.momentsSince, lr));
    });
    const at = (i: number): Tensor => scalars.slice(0, i, i + 1).reshape([]);
    return { grad, scalars, gradNorm: at(SCALARS.norm), isSkipped: at(SCALARS.skip) };
  }

  get #count(): number {
    return this.range.to - this.range.from;
  }

  #checkHome(): void {
    const moved = this.parameters.find((p) => p.home.state !== this.flat);
    if (!moved) return;
    throw new ForgeError({
      code: "state_conflict",
      what: `optimizer: parameter "${moved.name}" belongs to another optimizer now.`,
      why: "an optimizer that is made takes the parameters that it is given into its own storage",
      fix: "step with the optimizer made last",
    });
  }

  /** The host's copy of states that {@link zeros} made, by parameter. Errors: `argument_invalid` when two have one name. */
  async save(kind: string, states: Readonly<Record<string, State>>): Promise<OptimizerState> {
    const names = new Set(this.parameters.map((p) => p.name));
    if (names.size < this.parameters.length) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "save: two parameters have the same name.",
        got: this.parameters.map((p) => p.name).join(" "),
        fix: "name each parameter, or collect them with parametersOf(model), which names them by their paths",
      });
    }
    if (this.#count < this.flat.size) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "save: the optimizer has a part of the moments only.",
        got: `those of elements ${this.range.from} to ${this.range.to} of ${this.flat.size}`,
        fix: "put all moments together first",
      });
    }
    const moments: Record<string, Record<string, Float32Array>> = {};
    for (const [key, state] of Object.entries(states)) {
      const all = (await state.read()) as Float32Array;
      const own = this.parameters.map((p, i) => {
        const at = this.offsets[i] ?? 0;
        return [p.name, all.slice(at, at + p.size)] as const;
      });
      moments[key] = Object.fromEntries(own);
    }
    const { stepCount, momentsSince } = this;
    return { kind, stepCount, ...(momentsSince > 0 && { momentsSince }), moments };
  }

  /** Puts back what {@link save} gave. Errors: `argument_invalid`, `shape_mismatch`; nothing is changed then. */
  restore(kind: string, states: Readonly<Record<string, State>>, saved: OptimizerState): void {
    const arrays = Object.entries(states).map(([key, state]) => {
      const all = new Float32Array(this.flat.size);
      this.parameters.forEach((p, i) => {
        const own = saved.kind === kind ? saved.moments[key]?.[p.name] : undefined;
        if (own?.length === p.size) all.set(own, this.offsets[i] ?? 0);
        else throw misfit(kind, saved, key, p, own?.length);
      });
      return [state, all] as const;
    });
    for (const [state, all] of arrays) state.write(this.device, all);
    this.stepCount = saved.stepCount;
    this.momentsSince = saved.momentsSince ?? 0;
  }

  /** Frees the scalars. The parameters keep their values, and their flat storage. */
  [Symbol.dispose](): void {
    this.scalars[Symbol.dispose]();
  }
}

function tooLong(size: number, { from, to }: FlatRange): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "optimizer: it steps a part of the parameters only.",
    got: `gradients of ${size} elements, for ${from} to ${to}`,
    fix: "pass one tensor with the gradients of that part",
  });
}

function misfit(
  kind: string,
  saved: OptimizerState,
  key: string,
  parameter: State,
  length: number | undefined,
): ForgeError {
  const wrongKind = saved.kind !== kind;
  return new ForgeError({
    code: length === undefined ? "argument_invalid" : "shape_mismatch",
    what: `restore: the saved state is that of another ${wrongKind ? "optimizer" : "model"}.`,
    got: wrongKind
      ? `a state of ${saved.kind} for ${kind}`
      : `${length ?? "no"} elements of ${key} for "${parameter.name}", which has ${parameter.size}`,
    fix: "restore with the optimizer and the model that were saved",
  });
}

/** Partial sums of squares; as many as any adapter cuts the array into. */
const normOp: KernelOp = {
  name: "global_norm",
  kind: "kernel",
  lower: (context, node) => {
    const count = node.inputs[0]?.shape[0] ?? 0;
    emitDispatch(context, globalNorm(context.device, count, 0), {
      bindings: [context.input(0).slot, context.output(0).slot],
      flops: 2 * count,
    });
  },
};

/** Clipping multiplier, skip flag and norm, written into the scalars. */
const clipOp: KernelOp = {
  name: "clip_factor",
  kind: "kernel",
  updates: { 0: 1 },
  lower: (context, node) => {
    const { maxNorm, gradScale, count } = node.attributes as {
      maxNorm: number;
      gradScale: number;
      count: number;
    };
    const { partials } = normPartition(context.device, count);
    emitDispatch(context, clipFactor(context.device, partials, { maxNorm, gradScale }), {
      bindings: [context.input(0).slot, context.output(0).slot],
    });
  },
};

function groupsOf(
  parameters: readonly State[],
  offsets: readonly number[],
  size: number,
  options: OptimizerOptions,
): { groups: Uint32Array; table: Float32Array } {
  const decays = options.decays ?? ((p: State): boolean => p.rank >= 2);
  const keys = new Map<string, number>();
  const rows: number[] = [];
  const groups = new Uint32Array(Math.max(1, Math.ceil(size / BLOCK)));
  parameters.forEach((p, i) => {
    const row = [options.lrScale?.(p) ?? 1, decays(p) ? (options.weightDecay ?? 0) : 0];
    const key = row.join();
    let group = keys.get(key);
    if (group === undefined) {
      group = keys.size;
      keys.set(key, group);
      rows.push(...row);
    }
    const first = (offsets[i] ?? 0) / BLOCK;
    groups.fill(group, first, first + Math.ceil(p.size / BLOCK));
  });
  return { groups, table: Float32Array.from(rows.length ? rows : [1, 0]) };
}
