/** The value function beside a policy: a head on the policy's layers, or on a model of its own. */
import {
  type CausalLM,
  copyModel,
  type Device,
  Linear,
  LoraModel,
  namedParameters,
  parametersOf,
  Random,
  reshape,
  type State,
  type Tensor,
  take,
} from "../../../engine/index.ts";
import type { BatchTensors } from "./padded-batch.ts";

/** V of the state in which each token is sampled. */
export class Critic implements Disposable {
  /** [C, 1] and [1], zeros at first: before it has learned anything it says nothing. */
  readonly head: Linear;
  /** Its own layers; undefined for a head on the policy's. */
  readonly trunk: CausalLM | undefined;

  /** A separate trunk starts as the policy is now, less its adapters. */
  constructor(device: Device, policy: CausalLM, kind: "head" | "separate") {
    const inputs = policy.options.width;
    this.head = new Linear(new Random(0), { inputs, outputs: 1, init: () => 0 });
    this.trunk =
      kind === "separate"
        ? copyModel(device, policy instanceof LoraModel ? policy.base : policy)
        : undefined;
    // those of a copy are called as the policy's own, and an optimizer tells parameters by their names
    for (const [path, state] of namedParameters(this.trained)) state.name = path;
  }

  /** What is trained of it, as a model. */
  get trained(): object {
    const { head, trunk } = this;
    return { critic: { head, ...(trunk && { trunk: trunk.transformer }) } };
  }

  /** What an optimizer trains. */
  get parameters(): State[] {
    return parametersOf(this.trained);
  }

  /** Shapes: `hidden` [E, C] of the policy at the edges' rows → [E]. */
  values(hidden: Tensor, { tokens, end, depth, rows }: BatchTensors): Tensor {
    const seen = this.trunk
      ? take(this.trunk.transformer.hidden(tokens, { end, depth }), rows)
      : hidden;
    return reshape(this.head.forward(seen), [rows.size]);
  }

  [Symbol.dispose](): void {
    for (const state of parametersOf(this.head)) state[Symbol.dispose]();
    this.trunk?.[Symbol.dispose]();
  }
}
