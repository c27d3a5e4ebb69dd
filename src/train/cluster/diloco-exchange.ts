/** Updates that each node makes for itself, and the meetings at which what all have moved is summed in a ring. */
import { type Collectives, RingVector, type WireType } from "../../../cluster/index.ts";
import type { AdamW } from "../../../engine/index.ts";
import type { OwnGradients, Share, SharedUpdate } from "../learner/gradient-exchange.ts";
import { InnerState } from "./inner-state.ts";
import { OuterOptimizer } from "./outer-optimizer.ts";
import { shareOf } from "./ring-exchange.ts";
import type { StepExchange } from "./step-state.ts";

/** What a node says of its norm where it has none: without a share, or not finite. */
const IDLE = -1;
const SPOILT = -2;

/**
 * See the file's head. Gradients stay on the GPU, and each node clips its own.
 *
 * A node steps with `world` times the gradient of its share, so that the mean over the nodes of what they step with is the
 * gradient of the whole step, however the tokens were divided. One without a share does not step at all: what it would step by is only
 * what its moments remember.
 */
export class DilocoExchange implements StepExchange {
  readonly pieceSize: number = Number.POSITIVE_INFINITY;
  readonly isClipping = false;
  readonly #wire: WireType;
  #parts: { readonly inner: InnerState; readonly outer: OuterOptimizer } | undefined;
  #moved: RingVector | undefined;
  #ring: Collectives | undefined;
  #signal: AbortSignal | undefined;
  #hasMet = false;

  /** @param wire what outer gradients are rounded to on their way */
  constructor(wire: WireType) {
    this.#wire = wire;
  }

  /** What this node has for itself. */
  get inner(): InnerState {
    return this.#attached.inner;
  }

  /** Of all nodes. */
  get outer(): OuterOptimizer {
    return this.#attached.outer;
  }

  attach(optimizer: AdamW): void {
    this.#parts = {
      inner: new InnerState(optimizer),
      outer: new OuterOptimizer(optimizer.flat),
    };
  }

  enter(ring: Collectives, signal: AbortSignal): void {
    [this.#ring, this.#signal, this.#hasMet] = [ring, signal, false];
  }

  commit(): void {
    if (this.#hasMet) this.#moved?.keepResidual();
  }

  /** What was lost in rounding is forgotten: the node has another state now. */
  forget(): void {
    this.#moved?.clearResidual();
  }

  shareOf(tokens: readonly number[], episodes: readonly number[]): Share {
    const { rank, world } = this.#place;
    return shareOf(tokens, episodes, { rank, world });
  }

  sum(values: Float32Array): Promise<Float32Array> {
    return this.#place.sum(values, this.#signal);
  }

  async begin(gradients: OwnGradients): Promise<SharedUpdate> {
    return {
      watch: undefined,
      // what is not finite shows in the norm, before anything counts
      added: async () => true,
      step: () => this.#step(gradients),
    };
  }

  /**
   * The outer gradient [flat parameters]: what the nodes have moved from where they met last, turned round; the mean, in which each
   * counts by its updates, so that one which has come in the middle takes nothing from what the others have done. Undefined where
   * nobody has made one. The same bits at all nodes.
   */
  async outerGradient(outer: Float32Array): Promise<Float32Array | undefined> {
    const { updates } = this.inner;
    const [all = 0] = await this.sum(Float32Array.of(updates));
    if (all === 0) return undefined;
    const inner = await this.inner.read();
    this.#moved ??= new RingVector(outer.length, this.#wire);
    const vector = this.#moved;
    // a meeting that came to nothing has lost what it was to carry on
    vector.restoreResidual();
    for (let i = 0; i < outer.length; i++)
      vector.contribution[i] = updates * ((outer[i] as number) - (inner[i] as number));
    await this.#place.allReduce(vector, this.#signal);
    vector.carryResidual();
    this.#hasMet = true;
    return vector.result.map((sum) => sum / all);
  }

  /**
   * An update of this node's own; the root mean square of the norms of the nodes that have a share. That is more than the norm of the
   * whole gradient, as what the shares do not have in common is not averaged away.
   */
  async #step(gradients: OwnGradients): Promise<number> {
    const { rank, world } = this.#place;
    const own = new Float32Array(world);
    own[rank] = await this.#stepAlone(gradients, world);
    const norms = await this.sum(own);
    if (norms.includes(SPOILT)) return Number.POSITIVE_INFINITY;
    const busy = norms.filter((norm) => norm !== IDLE);
    const squares = busy.reduce((sum, norm) => sum + norm ** 2, 0);
    return Math.sqrt(squares / Math.max(1, busy.length));
  }

  /** The norm, as it is told to the others. */
  async #stepAlone(gradients: OwnGradients, world: number): Promise<number> {
    if (gradients.isEmpty) {
      this.inner.skip();
      return IDLE;
    }
    const { gradNorm, isSkipped } = await gradients.step(world);
    if (isSkipped) return SPOILT;
    this.inner.stepped();
    return gradNorm;
  }

  get #attached(): { readonly inner: InnerState; readonly outer: OuterOptimizer } {
    if (!this.#parts) throw new Error("a diloco exchange has no optimizer");
    return this.#parts;
  }

  get #place(): Collectives {
    if (!this.#ring) throw new Error("a diloco exchange is used outside of a step");
    return this.#ring;
  }
}
