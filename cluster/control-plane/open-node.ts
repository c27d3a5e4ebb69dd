/** Opens the control plane of a node. */
import type { ClusterHost } from "../membership/host.ts";
import { NodeInThread, type NodeInThreadOptions } from "./node-in-thread.ts";
import type { Running } from "./running.ts";
import { RunningNode, type RunningNodeOptions } from "./running-node.ts";

/** What it is made with. */
export interface OpenNodeOptions
  extends Omit<RunningNodeOptions, "isHostThere">,
    Pick<NodeInThreadOptions, "onGone"> {
  /** Whether it has a thread of its own, on the clock of this machine. */
  readonly controlThread?: boolean;
  /** With a thread. Default 120 000. */
  readonly hostMs?: number;
}

/** Opens the door. The node is in no cluster yet. Errors: those of `listen`. */
export function openNode(
  { controlThread = false, hostMs = 120_000, onGone, clock, ...options }: OpenNodeOptions,
  host: ClusterHost,
): Promise<Running> {
  return controlThread
    ? NodeInThread.open({ ...options, hostMs, onGone }, host)
    : RunningNode.open({ ...options, ...(clock && { clock }) }, host);
}
