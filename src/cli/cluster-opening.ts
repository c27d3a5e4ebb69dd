/** Opens a node's cluster, which answers from threads of its own, with the patience that its adapter needs. */
import { Cluster, type ClusterSettings } from "../../cluster/index.ts";
import type { Device } from "../../engine/index.ts";

/** Settings of a node, times in milliseconds. */
export interface NodeStart
  extends Omit<ClusterSettings, "membership" | "limits" | "controlThread"> {
  /** Trainers that a step needs at least, and that are let in at most. */
  readonly world: { readonly min: number; readonly max: number };
  /** Between two signs of life. Default 500. */
  readonly heartbeat?: number;
}

/** Signs of life that may fail to come. They are of the control plane's own thread: a main thread that computes is not missed. */
const MISSES = 3;

/**
 * Milliseconds that a neighbour may compute while others wait for it, beside what it takes on a software adapter, which compiles
 * and computes on the processor.
 */
const PROGRESS = 20_000;
const SOFTWARE_PROGRESS = 120_000;

/** Opens its doors. Errors: those of `Cluster.open`. */
export function openCluster(
  { world, heartbeat = 500, ...rest }: NodeStart,
  { isSoftware }: Device,
): Promise<Cluster> {
  return Cluster.open({
    ...rest,
    controlThread: true,
    progressMs: isSoftware ? SOFTWARE_PROGRESS : PROGRESS,
    connectMs: isSoftware ? SOFTWARE_PROGRESS : PROGRESS,
    membership: {
      ...{ minWorld: world.min, maxWorld: world.max },
      ...{ beat: heartbeat, lostAfter: MISSES * heartbeat },
    },
    limits: { heartbeatMs: heartbeat, heartbeatMisses: MISSES, ...(isSoftware && SLOW_LIMITS) },
  });
}

const SLOW_LIMITS = { stallMs: 60_000, handshakeMs: 30_000, firstMessageMs: 30_000 };
