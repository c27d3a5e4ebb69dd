/** Training together with other nodes, as a method of training sees it. It knows nothing of how they are reached. */
import type { AdamW, CausalLM } from "../../engine/index.ts";
import type { SavedOptimizer } from "./checkpoint/capture.ts";
import type { JobSource } from "./cluster/job-source.ts";
import type { Player } from "./cluster/player.ts";
import type { TrainConfig } from "./config/types.ts";
import type { Dispatcher } from "./episode/dispatcher.ts";
import type { Rollout } from "./episode/rollout.ts";
import type { GradientExchange } from "./learner/gradient-exchange.ts";
import type { Learner } from "./learner/learner.ts";
import type { Stepper } from "./stepper.ts";
import type { Trainer, TrainerSnapshot } from "./trainer.ts";

/** What others play for a trainer. */
export interface OtherPlayers {
  readonly elsewhere: Dispatcher;
  readonly localGroups: () => number;
}

/** What the steps of several nodes are made with. */
export interface TogetherParts {
  readonly learner: Learner;
  readonly exchange: SharedExchange;
  readonly rollout: Rollout;
  /** What a divergence is measured from, where a node that joins cannot make it by itself. */
  readonly reference?: CausalLM;
  /** Groups in flight, at all nodes. */
  readonly slots: number;
  /** A trainer that goes on from a snapshot, and has groups played elsewhere too. */
  readonly openTrainer: (
    snapshot: TrainerSnapshot | undefined,
    others: OtherPlayers,
  ) => Trainer<unknown>;
  /** Plays for whoever leads. */
  readonly openPlayer: (source: JobSource) => Player<unknown>;
}

/** An exchange, before it knows whose gradients they are. */
export interface SharedExchange extends GradientExchange {
  /** The optimizer whose steps these are. Once. */
  attach(optimizer: AdamW): void;
  /** What it steps by itself, once it is attached, if it does. */
  readonly outer?: SavedOptimizer;
}

/** Steps of several nodes. */
export interface SharedSteps extends Stepper {
  /** Begins with what is on the GPU. */
  found(snapshot: TrainerSnapshot | undefined): Promise<void>;
  /** Asks to be let in, and has the state of the others when this is fulfilled. Errors: the signal's reason. */
  join(signal: AbortSignal): Promise<void>;
}

/** See the file's head. */
export interface Together {
  /** Whether this node speaks for all. */
  readonly isLeading: boolean;
  /** Whether it joins others who train already. */
  readonly joins: boolean;
  exchange(config: TrainConfig): SharedExchange;
  steps(parts: TogetherParts): SharedSteps;
}
