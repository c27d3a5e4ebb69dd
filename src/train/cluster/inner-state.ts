/** What a node has for itself between two meetings: parameters that have moved on, and moments. */
import type { AdamW, State } from "../../../engine/index.ts";

/** Numbers of steps, by which states differ that lie on the GPU. */
interface Counts {
  readonly stepCount: number;
  readonly momentsSince: number;
  readonly updates: number;
}

/** See the file's head. It is on the GPU; so is the copy of it that {@link keep} makes, to come back to. */
export class InnerState implements Disposable {
  readonly #optimizer: AdamW;
  #copies: readonly (readonly [own: State, copy: State])[] | undefined;
  #kept: Counts | undefined;
  #updates = 0;

  constructor(optimizer: AdamW) {
    this.#optimizer = optimizer;
  }

  /** By which the parameters differ from those of the last meeting. */
  get updates(): number {
    return this.#updates;
  }

  /** The optimizer has made an update, of this node's share. */
  stepped(): void {
    this.#updates++;
  }

  /** An update of others, in which this node had no share: the schedule goes on, and the moments grow no older. */
  skip(): void {
    const { flat } = this.#optimizer;
    flat.stepCount++;
    flat.momentsSince++;
  }

  /** Goes on from the parameters [flat] of a meeting, with the moments that there are, after so many updates of all. */
  adopt(parameters: Float32Array, stepCount: number): void {
    const { flat } = this.#optimizer;
    flat.flat.write(flat.device, parameters);
    this.count(stepCount);
    this.#updates = 0;
  }

  /** As {@link adopt}, for a node that has the parameters of its round already. */
  count(stepCount: number): void {
    const { flat } = this.#optimizer;
    flat.momentsSince += stepCount - flat.stepCount;
    flat.stepCount = stepCount;
  }

  /** The parameters, on the host [flat]. */
  async read(): Promise<Float32Array> {
    return (await this.#optimizer.flat.flat.read()) as Float32Array;
  }

  /** Copies all of it, until {@link restore} or {@link forget}. Does nothing where that was done. */
  keep(): void {
    if (this.#kept) return;
    const { flat, m, u } = this.#optimizer;
    this.#copies ??= [flat.flat, m, u].map((own) => [own, flat.zeros(`kept ${own.name}`)] as const);
    for (const [own, copy] of this.#copies) copy.copyFrom(flat.device, own);
    const { stepCount, momentsSince } = flat;
    this.#kept = { stepCount, momentsSince, updates: this.#updates };
  }

  /** Comes back to what was kept, if something was. */
  restore(): void {
    const { flat } = this.#optimizer;
    if (!this.#kept) return;
    for (const [own, copy] of this.#copies ?? []) own.copyFrom(flat.device, copy);
    const { stepCount, momentsSince, updates } = this.#kept;
    [flat.stepCount, flat.momentsSince, this.#updates] = [stepCount, momentsSince, updates];
    this.#kept = undefined;
  }

  /** What was kept is not wanted any more. */
  forget(): void {
    this.#kept = undefined;
  }

  [Symbol.dispose](): void {
    for (const [, copy] of this.#copies ?? []) copy[Symbol.dispose]();
    this.#copies = undefined;
  }
}
