/** A training run's part in a cluster. */
import type { Cluster, WireType } from "../../../cluster/index.ts";
import type { AdamW } from "../../../engine/index.ts";
import type { TrainConfig } from "../config/types.ts";
import { optimizerOptions } from "../learner/optimizer-options.ts";
import type { SharedExchange, Together, TogetherParts } from "../together.ts";
import { ClusterSteps } from "./cluster-steps.ts";
import { DilocoExchange } from "./diloco-exchange.ts";
import { DilocoState } from "./diloco-state.ts";
import { EmbeddedPool, type GroupPool } from "./group-pool.ts";
import type { PoolDoor } from "./pool-door.ts";
import { RingExchange } from "./ring-exchange.ts";
import { SharedReference } from "./shared-reference.ts";
import { SharedState } from "./shared-state.ts";
import type { StepExchange, StepState } from "./step-state.ts";
import type { Way } from "./way.ts";

/** What a run is told of its cluster. */
export interface ClusterSession {
  /** Opened and closed by whoever starts the run. */
  readonly cluster: Cluster;
  /** A node to ask to be let in. Default: the run founds the cluster. */
  readonly contact?: string;
  readonly sync: Way;
  readonly wire: WireType;
  /** Told what people should know of the others. */
  readonly onEvent: (text: string) => void;
  /** Its routes are among those of the cluster. */
  readonly door: PoolDoor;
  /** How groups travel. Default: players ask at the door of whoever leads. */
  readonly pool?: GroupPool;
}

/** An exchange, and the state that steps through it. */
interface Parts {
  readonly exchange: StepExchange;
  readonly stateOf: (optimizer: AdamW, reference: SharedReference) => StepState;
}

/** A session as training sees it. */
export function togetherIn(session: ClusterSession): Together {
  const { cluster, contact, door, onEvent } = session;
  const { pool = new EmbeddedPool(door, cluster.client) } = session;
  let made: Parts | undefined;
  return {
    get isLeading(): boolean {
      return cluster.isLeading;
    },
    joins: contact !== undefined,
    exchange: (config): SharedExchange => {
      made = partsOf(session, config);
      return made.exchange;
    },
    steps: ({ exchange: _, reference, ...parts }: TogetherParts): ClusterSteps => {
      if (!made) throw new Error("steps are asked for before their exchange");
      const { exchange, stateOf } = made;
      const { optimizer } = parts.learner;
      const shared = new SharedReference(cluster, optimizer.flat.device, reference);
      const state = stateOf(optimizer, shared);
      return new ClusterSteps({
        ...{ ...parts, cluster, state, pool, exchange, onEvent },
        ...(contact !== undefined && { contact }),
      });
    },
  };
}

function partsOf({ cluster, sync, wire, onEvent }: ClusterSession, config: TrainConfig): Parts {
  if (typeof sync === "string") {
    const { clipNorm } = optimizerOptions(config);
    const exchange = new RingExchange({ sync, wire, ...(clipNorm !== undefined && { clipNorm }) });
    const stateOf: Parts["stateOf"] = (optimizer, reference) =>
      new SharedState({ cluster, optimizer, exchange, reference, onLoss: onEvent });
    return { exchange, stateOf };
  }
  const exchange = new DilocoExchange(wire);
  const lastStep = config.train.steps;
  const stateOf: Parts["stateOf"] = (optimizer, reference) =>
    new DilocoState({ cluster, optimizer, exchange, reference, lastStep, way: sync });
  return { exchange, stateOf };
}
