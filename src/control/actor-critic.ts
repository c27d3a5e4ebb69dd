/** The policy and the value function of an agent that observes a few numbers. */
import { Linear, orthogonalInit, type Random, type Tensor } from "../../engine/index.ts";

/** Options of {@link ActorCritic}. */
export interface ActorCriticOptions {
  /** D. */
  readonly observationSize: number;
  /** A. */
  readonly numActions: number;
  /** Widths of the hidden layers of each network. Default [64, 64]. */
  readonly hiddenSizes?: readonly number[];
}

/**
 * Two perceptrons that share nothing, with tanh between their layers.
 *
 * Weights start orthogonal with gain √2, those of the last layer with 0.01 (actor) and 1 (critic), biases at 0, as in
 * CleanRL: Huang et al. 2022, "The 37 Implementation Details of Proximal Policy Optimization", detail 2.
 */
export class ActorCritic {
  readonly actor: readonly Linear[];
  readonly critic: readonly Linear[];

  constructor(random: Random, options: ActorCriticOptions) {
    const { observationSize, numActions, hiddenSizes = [64, 64] } = options;
    this.actor = perceptron(random, [observationSize, ...hiddenSizes, numActions], 0.01);
    this.critic = perceptron(random, [observationSize, ...hiddenSizes, 1], 1);
  }

  /** Logits of the actions. Shapes: observations [M, D] → [M, A]. Errors: `shape_mismatch`. */
  logits(observations: Tensor): Tensor {
    return forward(this.actor, observations);
  }

  /** What is expected to follow, discounted. Shapes: observations [M, D] → [M]. Errors: `shape_mismatch`. */
  values(observations: Tensor): Tensor {
    return forward(this.critic, observations).squeeze(1);
  }
}

function perceptron(random: Random, sizes: readonly number[], lastGain: number): Linear[] {
  return sizes.slice(1).map((outputs, i) => {
    const gain = i === sizes.length - 2 ? lastGain : Math.SQRT2;
    return new Linear(random, { inputs: sizes[i] as number, outputs, init: orthogonalInit(gain) });
  });
}

function forward(layers: readonly Linear[], x: Tensor): Tensor {
  return layers.reduce((y, layer, i) => layer.forward(i === 0 ? y : y.tanh()), x);
}
