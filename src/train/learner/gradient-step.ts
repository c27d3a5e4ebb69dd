/** Optimizer steps from the losses of several batches. */
import {
  type Compiled,
  compile,
  type FlatRange,
  GradientAccumulator,
  type GradientFormat,
  GradientReadback,
  grad,
  type Optimizer,
  type Tensor,
  type Tree,
  tensor,
  type Watch,
} from "../../../engine/index.ts";
import { KEPT_PLANS } from "./padded-batch.ts";

/** What a step did. */
export interface StepOutcome {
  /** Global L2 norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Whether the norm was not finite, so that nothing was changed. */
  readonly isSkipped: boolean;
}

/** The loss of a batch, to be added to those of the others, and what else of it is wanted. */
export interface BatchLoss<R extends Tree> {
  readonly loss: Tensor;
  readonly result: R;
}

/**
 * One optimizer step for the sum of the losses of any number of batches: each loss is divided by the size of the whole step
 * already. Compiled once for each size of a batch.
 */
export class GradientStep<A extends readonly Tree[], R extends Tree> implements Disposable {
  readonly #optimizer: Optimizer;
  readonly #accumulator: GradientAccumulator;
  readonly #add: Compiled<A, R>;
  #step: Compiled<[], { gradNorm: Tensor; isSkipped: Tensor }>;
  /** What {@link #step} is compiled for. */
  #scale = 1;
  #stepWith: Compiled<[Tensor], { gradNorm: Tensor; isSkipped: Tensor }>;
  /** What {@link #stepWith} is compiled for. */
  #range: FlatRange;

  readonly #label: string;
  #readback: GradientReadback | undefined;

  /**
   * The optimizer stays the caller's: it is neither saved nor freed here.
   *
   * @param pieceSize of the sum; see `AccumulateOptions`
   */
  constructor(
    optimizer: Optimizer,
    label: string,
    lossOf: (...batch: A) => BatchLoss<R>,
    pieceSize: number = Number.POSITIVE_INFINITY,
  ) {
    const { device } = optimizer.flat;
    const accumulator = new GradientAccumulator(optimizer, { reduction: "sum", pieceSize });
    this.#optimizer = optimizer;
    this.#accumulator = accumulator;
    this.#add = compile(
      (...batch: A) => {
        const { loss, result } = lossOf(...batch);
        accumulator.add(grad(loss, optimizer.parameters));
        return result;
      },
      { device, label, maxPlans: KEPT_PLANS },
    );
    this.#label = label;
    this.#step = this.#stepOf(1);
    this.#stepWith = this.#stepOfAll();
    this.#range = optimizer.flat.range;
  }

  /** Forgets what has been added: of a step that failed half-way. */
  reset(): void {
    this.#accumulator.reset();
  }

  /** Elements of the flat parameters. */
  get length(): number {
    return this.#optimizer.flat.flat.size;
  }

  /** Whether nothing has been added since the last step. */
  get isEmpty(): boolean {
    return this.#accumulator.count === 0;
  }

  /** Adds the gradients of a batch. Read the result before the next call. */
  add(...batch: A): Promise<R> {
    return this.#add(...batch);
  }

  /** As {@link add}, of the last batch: whoever watches gets the sums as they are done. */
  addLast(watch: Watch, ...batch: A): Promise<R> {
    return this.#add.watched(watch, ...batch);
  }

  /**
   * Steps with what has been added since the last step, times `scale`, of which there should be few. Errors: `argument_invalid` for
   * nothing.
   */
  async step(scale = 1): Promise<StepOutcome> {
    if (scale !== this.#scale) {
      this.#step[Symbol.dispose]();
      [this.#step, this.#scale] = [this.#stepOf(scale), scale];
    }
    return outcomeOf(await this.#step());
  }

  /** What reads the sums; made once, the first time. */
  async readback(format: GradientFormat, ranges: readonly FlatRange[]): Promise<GradientReadback> {
    const { flat } = this.#optimizer;
    this.#readback ??= new GradientReadback(this.#accumulator, flat, { format, ranges });
    await this.#readback.prepare();
    return this.#readback;
  }

  /** Steps with a gradient [the optimizer's range of the flat parameters] in place of what has been added. */
  async stepWith(gradient: Float32Array): Promise<StepOutcome> {
    this.reset();
    const { flat } = this.#optimizer;
    if (gradient.length === 0) {
      // others step; schedules go on here too
      flat.stepCount++;
      return { gradNorm: 0, isSkipped: false };
    }
    if (flat.range !== this.#range) {
      this.#stepWith[Symbol.dispose]();
      this.#stepWith = this.#stepOfAll();
      this.#range = flat.range;
    }
    return outcomeOf(await this.#stepWith(tensor(gradient, [gradient.length])));
  }

  /** Frees the plans and the sum. */
  [Symbol.dispose](): void {
    this.#readback?.[Symbol.dispose]();
    for (const part of [this.#add, this.#step, this.#stepWith, this.#accumulator])
      part[Symbol.dispose]();
  }

  #stepOf(scale: number): Compiled<[], { gradNorm: Tensor; isSkipped: Tensor }> {
    const { device } = this.#optimizer.flat;
    const label = `${this.#label}: step`;
    return compile(() => ({ ...this.#accumulator.step(scale) }), { device, label });
  }

  #stepOfAll(): Compiled<[Tensor], { gradNorm: Tensor; isSkipped: Tensor }> {
    const optimizer = this.#optimizer;
    return compile((gradient: Tensor) => ({ ...optimizer.step(gradient) }), {
      ...{ device: optimizer.flat.device, label: `${this.#label}: step of all` },
    });
  }
}

async function outcomeOf(done: { gradNorm: Tensor; isSkipped: Tensor }): Promise<StepOutcome> {
  const [gradNorm, isSkipped] = await Promise.all([
    // one that is not finite is for the caller to report
    done.gradNorm.item({ allowNonFinite: true }),
    done.isSkipped.item(),
  ]);
  return { gradNorm, isSkipped: isSkipped !== 0 };
}
