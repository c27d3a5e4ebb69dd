/** Opens a node's cluster with the patience that its adapter needs. */
import { Cluster, type ClusterSettings } from "../../cluster/index.ts";
import type { Device } from "../../engine/index.ts";

/** Settings of a node, times in milliseconds. */
export interface NodeStart extends Omit<ClusterSettings, "membership" | "limits"> {
  /** Trainers that a step needs at least, and that are let in at most. */
  readonly world: { readonly min: number; readonly max: number };
  /** Between two signs of life. Default 500. */
  readonly heartbeat?: number;
}

/** Signs of life that may fail to come. */
const MISSES = 3;

/**
 * A software adapter compiles and computes on the processor that this process has to answer on: there, silence means little, and
 * nodes have half a minute. The death of a process is seen by its sockets all the same.
 */
const SOFTWARE_MISSES = 60;

/** Milliseconds that a neighbour may compute while others wait for it, beside what it takes in software. */
const PROGRESS = 20_000;
const SOFTWARE_PROGRESS = 120_000;

/** Opens its doors. Errors: those of `Cluster.open`. */
export function openCluster(
  { world, heartbeat = 500, ...rest }: NodeStart,
  { isSoftware }: Device,
): Promise<Cluster> {
  const misses = isSoftware ? SOFTWARE_MISSES : MISSES;
  return Cluster.open({
    ...rest,
    progressMs: isSoftware ? SOFTWARE_PROGRESS : PROGRESS,
    connectMs: isSoftware ? SOFTWARE_PROGRESS : PROGRESS,
    membership: {
      ...{ minWorld: world.min, maxWorld: world.max },
      ...{ beat: heartbeat, lostAfter: misses * heartbeat },
    },
    limits: { heartbeatMs: heartbeat, heartbeatMisses: misses, ...(isSoftware && SLOW_LIMITS) },
  });
}

const SLOW_LIMITS = { stallMs: 60_000, handshakeMs: 30_000, firstMessageMs: 30_000 };
