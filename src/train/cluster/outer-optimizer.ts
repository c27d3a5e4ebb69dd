/** What makes one step of all out of what the nodes have moved. */
import type { OptimizerState, State } from "../../../engine/index.ts";
import type { SavedOptimizer } from "../checkpoint/capture.ts";
import type { Diloco } from "./way.ts";

/** What an outer step changes, each [flat parameters]. */
export interface OuterValues {
  readonly parameters: Float32Array;
  readonly velocity: Float32Array;
}

/** Parameters in one array: as engine's `FlatParameters` has them. */
export interface FlatLayout {
  readonly parameters: readonly State[];
  readonly offsets: readonly number[];
  readonly flat: { readonly size: number };
}

/**
 * SGD with Nesterov's momentum, as `torch.optim.SGD` has it, on the host: v ← μ·v + g, then θ ← θ − η·(g + μ·v). In f64, rounded
 * to f32 once an element, so that nodes which step with the same bits have the same bits, whatever their GPUs are.
 */
export function outerStep(
  { parameters, velocity }: OuterValues,
  gradient: Float32Array,
  { outerLr, outerMomentum }: Omit<Diloco, "every">,
): OuterValues {
  const { length } = parameters;
  const next = { parameters: new Float32Array(length), velocity: new Float32Array(length) };
  for (let i = 0; i < length; i++) {
    const g = gradient[i] as number;
    const v = outerMomentum * (velocity[i] as number) + g;
    next.velocity[i] = v;
    next.parameters[i] = (parameters[i] as number) - outerLr * (g + outerMomentum * v);
  }
  return next;
}

/** The velocity that a run has come to, as checkpoints keep it. */
export class OuterOptimizer implements SavedOptimizer {
  readonly kind = "nesterov";
  /** [flat parameters] */
  velocity: Float32Array;
  readonly #layout: FlatLayout;

  constructor(layout: FlatLayout) {
    this.#layout = layout;
    this.velocity = new Float32Array(layout.flat.size);
  }

  get parameters(): readonly State[] {
    return this.#layout.parameters;
  }

  async save(): Promise<OptimizerState> {
    const own = this.#places.map(
      ({ name, from, to }) => [name, this.velocity.slice(from, to)] as const,
    );
    // nothing in it depends on the number of steps
    return { kind: this.kind, stepCount: 0, moments: { velocity: Object.fromEntries(own) } };
  }

  restore({ moments }: OptimizerState): void {
    const all = new Float32Array(this.velocity.length);
    for (const { name, from } of this.#places) all.set(moments["velocity"]?.[name] ?? [], from);
    this.velocity = all;
  }

  get #places(): { readonly name: string; readonly from: number; readonly to: number }[] {
    const { offsets } = this.#layout;
    return this.parameters.map(({ name, size }, i) => {
      const from = offsets[i] as number;
      return { name, from, to: from + size };
    });
  }
}
