/** A training run's part in a cluster. */
import type { Cluster, WireType } from "../../../cluster/index.ts";
import { optimizerOptions } from "../learner/optimizer-options.ts";
import type { Together } from "../together.ts";
import { ClusterSteps } from "./cluster-steps.ts";
import { EmbeddedPool, type GroupPool } from "./group-pool.ts";
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
  /** How groups travel. Default: players ask at the door of whoever leads. */
  readonly pool?: GroupPool;
}

/** A session as training sees it. */
export function togetherIn(session: ClusterSession): Together {
  const { cluster, contact, door, sync, wire, onEvent } = session;
  const { pool = new EmbeddedPool(door, cluster.client) } = session;
  let exchange: RingExchange | undefined;
  return {
    get isLeading(): boolean {
      return cluster.isLeading;
    },
    joins: contact !== undefined,
    exchange: (config) => {
      const { clipNorm } = optimizerOptions(config);
      exchange = new RingExchange({ sync, wire, ...(clipNorm !== undefined && { clipNorm }) });
      return exchange;
    },
    steps: ({ exchange: _, ...parts }) => {
      if (!exchange) throw new Error("steps are asked for before their exchange");
      const { optimizer } = parts.learner;
      const state = new SharedState({ cluster, optimizer, exchange, onLoss: onEvent });
      return new ClusterSteps({
        ...{ ...parts, cluster, state, pool, exchange, onEvent },
        ...(contact !== undefined && { contact }),
      });
    },
  };
}
