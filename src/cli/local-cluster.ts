/** A cluster on this machine: this process, which keeps the run, and others that train with it. */
import { randomBytes } from "node:crypto";
import { Token, type WireType } from "../../cluster/index.ts";
import type { Device } from "../../engine/index.ts";
import type { ClusterSession } from "../train/cluster/cluster-session.ts";
import { PoolDoor } from "../train/cluster/pool-door.ts";
import { type Way, wayFlags } from "../train/cluster/way.ts";
import type { LoadedConfig } from "../train/config/load.ts";
import type { TrainView } from "../train/run/train-view.ts";
import { openCluster } from "./cluster-opening.ts";
import { Given } from "./launch/given.ts";
import { type WayFlags, wayOf, waySettings } from "./launch/way.ts";
import { LocalNodes } from "./local-nodes.ts";

/** What `forge-gpu train` is told of it. */
export interface LocalClusterFlags extends WayFlags {
  readonly nodes?: number;
  readonly wire: WireType;
  readonly set?: readonly string[];
  readonly adapter?: string;
}

/** How it is started. */
export interface LocalClusterOptions extends Omit<LocalClusterFlags, keyof WayFlags> {
  readonly way: Way;
}

/** A cluster, and what ends it. */
export interface LocalCluster extends AsyncDisposable {
  readonly session: ClusterSession;
  /** All steps are made: the others are given the time to hear of it. */
  finish(): Promise<void>;
}

/** How steps are made one. Errors: `config_invalid`. */
export function wayOfFlags({ sync, outerLr, outerMomentum }: WayFlags): Way {
  return wayOf(waySettings(new Given({ sync, outerLr, outerMomentum }, {})));
}

/** On one machine nothing lies between nodes that one thread could not fill. */
const RING_THREADS = 1;

/** Milliseconds that the others have to leave, when all is done. */
const FINISH = 5_000;

/** Starts `nodes` nodes, of which this is one. */
export async function startLocalCluster(
  { file }: LoadedConfig,
  { nodes = 1, way: sync, wire, set = [], adapter }: LocalClusterOptions,
  { device, view }: { readonly device: Device; readonly view: TrainView },
): Promise<LocalCluster> {
  const token = Token.create();
  const runId = randomBytes(16).toString("hex");
  const world = { min: 1, max: nodes };
  const door = new PoolDoor();
  const { routes } = door;
  const who = { nodeId: "node-0", runId, token, ringThreads: RING_THREADS };
  const cluster = await openCluster({ ...who, world, routes }, device);
  const onEvent = (text: string): void => view.warn(text);
  const local = await LocalNodes.start({
    ...{ token, onEvent },
    names: Array.from({ length: nodes - 1 }, (_, i) => `node-${i + 1}`),
    args: [
      ...[file, "--rdzv", cluster.address, "--run-id", runId],
      // whatever variables say: all have as many, each at ports of its own
      ...["--ring-threads", `${RING_THREADS}`, "--ring-port", "0"],
      ...["--world", `1:${nodes}`, ...wayFlags(sync), "--wire", wire],
      ...set.flatMap((override) => ["--set", override]),
      ...(adapter === undefined ? [] : ["--adapter", adapter]),
    ],
  });
  return {
    session: { cluster, door, sync, wire, onEvent },
    finish: () => cluster.finish(FINISH),
    [Symbol.asyncDispose]: async () => {
      await local[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}
