/** A training run's part in a cluster. */
import type { Cluster, WireType } from "../../../cluster/index.ts";
import type { TrainConfig } from "../config/types.ts";
import { optimizerOptions } from "../learner/optimizer-options.ts";
import { ClusterSteps, type ClusterStepsOptions } from "./cluster-steps.ts";
import type { PoolDoor } from "./pool-door.ts";
import { RingExchange, type Sync } from "./ring-exchange.ts";
import { SharedState } from "./shared-state.ts";

/** What a run is told of its cluster. */
export interface ClusterSession {
  /** Opened and closed by whoever starts the run. */
  readonly cluster: Cluster;
  /** A node to ask to be let in. Default: the run founds the cluster. */
  readonly contact?: string;
  readonly sync: Sync;
  readonly wire: WireType;
  /** Told what people should know of the others. */
  readonly onEvent: (text: string) => void;
  /** Its routes are among those of the cluster. */
  readonly door: PoolDoor;
}

/** How the gradients of a run are put together. */
export function ringExchange({ sync, wire }: ClusterSession, config: TrainConfig): RingExchange {
  const { clipNorm } = optimizerOptions(config);
  return new RingExchange({ sync, wire, ...(clipNorm !== undefined && { clipNorm }) });
}

/** The steps of a run in its cluster. */
export function clusterSteps(
  { cluster, door, onEvent }: ClusterSession,
  parts: Pick<
    ClusterStepsOptions,
    "exchange" | "learner" | "rollout" | "slots" | "openTrainer" | "openPlayer"
  >,
): ClusterSteps {
  const { optimizer } = parts.learner;
  const state = new SharedState({
    ...{ cluster, optimizer, exchange: parts.exchange, onLoss: onEvent },
  });
  return new ClusterSteps({ ...parts, cluster, state, door, onEvent });
}
