/** A node of a cluster as a process: what `forge-gpu node` does when its settings are understood. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Cluster,
  ClusterError,
  NodeClient,
  type TlsFiles,
  Token,
} from "../../cluster/index.ts";
import { type Device, ForgeError, openDevice, setDefaultDevice } from "../../engine/index.ts";
import { bytesText } from "../terminal/units.ts";
import type { ClusterSession } from "../train/cluster/cluster-session.ts";
import { follow } from "../train/cluster/follow.ts";
import { PoolDoor } from "../train/cluster/pool-door.ts";
import type { Rendezvous } from "../train/cluster/rendezvous.ts";
import { playForCluster } from "../train/cluster/rollout-node.ts";
import type { LoadedConfig } from "../train/config/load.ts";
import { LastMetrics } from "../train/run/prometheus.ts";
import { furthestRun } from "../train/run/runs-folder.ts";
import { createTrainView, type TrainView } from "../train/run/train-view.ts";
import { train } from "../train/train.ts";
import { keepTuning } from "../tuning/store.ts";
import { openCluster } from "./cluster-opening.ts";
import { interruptible } from "./interrupt.ts";
import { printJson } from "./json.ts";
import { wayOf } from "./launch/way.ts";
import { manifest } from "./manifest.ts";
import { openMetricsDoor } from "./metrics-door.ts";
import { firstContacts, openPool, openRendezvous } from "./node-rendezvous.ts";
import { type NodeSettings, OWN_RUN } from "./node-settings.ts";
import type { NodeFlags } from "./noding.ts";

/** Milliseconds between two tries to find a cluster. */
const RETRY = 500;

/** Trains until the run is done. Errors: those of `train`; `peer_unreachable` when there is no cluster to join. */
export async function runClusterNode(
  settings: NodeSettings,
  loaded: LoadedConfig,
  flags: NodeFlags,
): Promise<void> {
  if (flags.follow) return followParent(settings, loaded, flags);
  if (settings.role.value === "rollout") return playAsRollout(settings, loaded, flags);
  await interruptible(async (signal) => {
    const view = createTrainView({ steps: loaded.config.train.steps });
    const device = await openNodeDevice(flags);
    try {
      const door = new PoolDoor();
      const start = { ...(await startOf(settings)), routes: door.routes };
      await using cluster = await openCluster(start, device);
      view.say(
        `node ${cluster.nodeId} of run ${settings.runId.value} listens at ${cluster.address}`,
      );
      await using rendezvous = await openRendezvous(settings, (text) => view.warn(text));
      await using pool = await openPool(settings);
      const metrics = new LastMetrics();
      const { value: place } = settings.metrics;
      await using metricsDoor = place && (await openMetricsDoor(place, metrics, cluster));
      if (metricsDoor) view.say(`metrics  ${metricsDoor.url}metrics`);
      const found = await sessionOf({ cluster, door, rendezvous }, settings, view, signal);
      const session = { ...found, ...(pool && { pool }) };
      const { stateDir } = settings;
      const config = stateDir.value === undefined ? loaded : inDirectory(loaded, stateDir.value);
      const resume = await resumption(settings, config, { session, view });
      const result = await train({
        ...{ loaded: config, device, view, signal, cluster: session, version: manifest.version },
        writers: [metrics],
        ...(resume !== undefined && { resume }),
      }).catch(async (error: unknown) => {
        // one of two, or the first of an even number, may be a vote that the others need to go on without it
        await cluster.depart();
        throw error;
      });
      if (result.ended === "done") {
        await cluster.finish();
        await pool?.finish();
      } else await cluster.depart();
      const isDone = result.ended === "done";
      const next = `ended after step ${result.steps}; the same command with --run-id ${cluster.runId} --resume goes on, once all have ended`;
      view.end([...(isDone ? [] : [next]), `run  ${result.directory}`].join("\n"));
      if (flags.json) printJson(result);
    } finally {
      view.end();
      device[Symbol.dispose]();
    }
  });
}

/** Trains for a process that keeps the run, and ends with it. */
async function followParent(
  settings: NodeSettings,
  loaded: LoadedConfig,
  flags: NodeFlags,
): Promise<void> {
  const over = new AbortController();
  // Ctrl-C is for the parent, who tells us
  process.on("SIGINT", () => {});
  process.stdin
    .resume()
    .once("close", () => over.abort())
    .unref();
  const device = await openNodeDevice(flags);
  const say = (text: string): boolean => process.stderr.write(`${text}\n`);
  try {
    const door = new PoolDoor();
    const start = { ...(await startOf(settings)), routes: door.routes };
    await using cluster = await openCluster(start, device);
    over.signal.addEventListener("abort", () => process.exit(0), { once: true });
    const [contact] = settings.contacts.value;
    if (contact === undefined) throw withoutContact();
    const way = { sync: wayOf(settings), wire: settings.wire.value };
    const session = { ...way, cluster, door, contact, onEvent: say };
    await follow({ loaded, device, cluster: session, signal: over.signal });
    await cluster.finish();
  } finally {
    device[Symbol.dispose]();
  }
}

/** Plays, and trains nothing. */
async function playAsRollout(
  settings: NodeSettings,
  loaded: LoadedConfig,
  flags: NodeFlags,
): Promise<void> {
  await interruptible(async (signal) => {
    const say = (text: string): boolean => process.stderr.write(`${text}\n`);
    const device = await openNodeDevice(flags);
    try {
      const { nodeId, runId, token, tls } = await identityOf(settings);
      using client = new NodeClient({ nodeId, runId, token, role: "rollout", ...(tls && { tls }) });
      await using pool = await openPool(settings);
      say(`node ${nodeId} of run ${runId} plays`);
      await playForCluster({
        ...{ loaded, device, client, signal },
        contacts: await firstContacts(settings, signal),
        ...(pool && { pool }),
        patience: settings.joinTimeout.value,
        onWeights: (step, bytes) => say(`weights of step ${step}, ${bytesText(bytes)}`),
      });
    } finally {
      device[Symbol.dispose]();
    }
  });
}

async function openNodeDevice({ adapter }: NodeFlags): Promise<Device> {
  const device = await openDevice(adapter === undefined ? {} : { adapter });
  keepTuning(device);
  setDefaultDevice(device);
  return device;
}

type NodeStart = Parameters<typeof openCluster>[0];

/** Who a node is, and what it shows for it. */
async function identityOf({
  nodeId,
  runId,
  tokenFile,
  tlsCert,
  tlsKey,
  tlsCa,
}: NodeSettings): Promise<{
  readonly nodeId: string;
  readonly runId: string;
  readonly token: Token;
  readonly tls: Partial<TlsFiles> | undefined;
}> {
  const [cert, key, ca] = [tlsCert.value, tlsKey.value, tlsCa.value];
  const tls = { ...(cert && { cert }), ...(key && { key }), ...(ca && { ca }) };
  return {
    ...{ nodeId: nodeId.value, runId: runId.value, token: await Token.read(tokenFile.value) },
    tls: Object.keys(tls).length > 0 ? tls : undefined,
  };
}

async function startOf(settings: NodeSettings): Promise<NodeStart> {
  const { advertise, listen, exposeAll, ringThreads, ringPort } = settings;
  const { tls, ...identity } = await identityOf(settings);
  const { cert, key, ca } = tls ?? {};
  return {
    ...identity,
    ...{ host: listen.value.host, port: listen.value.port, exposeAll: exposeAll.value },
    ...(advertise.value !== undefined && { advertise: advertise.value }),
    ...(cert !== undefined && key !== undefined && { tls: { cert, key, ...(ca && { ca }) } }),
    ...{ world: settings.world.value, heartbeat: settings.heartbeat.value },
    ...{ ringThreads: ringThreads.value, ringPort: ringPort.value },
  };
}

/** Joins whoever answers, or begins a cluster where that is this node's to do. */
async function sessionOf(
  {
    cluster,
    door,
    rendezvous,
  }: Pick<ClusterSession, "cluster" | "door"> & { readonly rendezvous: Rendezvous },
  settings: NodeSettings,
  view: TrainView,
  signal: AbortSignal,
): Promise<ClusterSession> {
  const { founding, joinTimeout, restarts, wire } = settings;
  const way = {
    ...{ sync: wayOf(settings), wire: wire.value },
    ...{ cluster, door, onEvent: (text: string) => view.warn(text) },
  };
  await rendezvous.announce({ node: cluster.nodeId, address: cluster.address });
  // one that comes back has others to look for, who may be slow to answer
  const isBack = founding.value === "if-nobody-answers" && restarts.value > 0;
  const end = performance.now() + joinTimeout.value;
  for (;;) {
    const contacts = (await rendezvous.contacts()).map(({ address }) => address);
    const { contact, error } = await answering(cluster, contacts);
    const isOut = performance.now() > end;
    if (contact !== undefined || ((!isBack || isOut) && (await rendezvous.mayFound()))) {
      rendezvous.vouch();
      return { ...way, ...(contact !== undefined && { contact }) };
    }
    if (isOut) throw error ?? withoutContact();
    view.phase("waiting", "for a cluster");
    await sleep(RETRY, undefined, { signal });
  }
}

/** The first contact that is in a cluster; else why the last one is not. Errors: those that asking again does not mend. */
async function answering(
  cluster: Cluster,
  contacts: readonly string[],
): Promise<{ readonly contact?: string; readonly error?: unknown }> {
  let error: unknown;
  for (const contact of contacts) {
    try {
      const { epoch } = await cluster.ask(contact);
      if (epoch > 0) return { contact };
    } catch (thrown) {
      const isPassing =
        thrown instanceof ClusterError &&
        ["peer_unreachable", "peer_busy", "peer_stalled", "connection_closed"].includes(
          thrown.code,
        );
      if (!isPassing) throw thrown;
      error = thrown;
    }
  }
  return { error };
}

/** What is gone on with. Who joins has the state of the others, and a run directory of its own. */
async function resumption(
  { resume: { value }, runId }: NodeSettings,
  { config: { name, run } }: LoadedConfig,
  { session, view }: { readonly session: ClusterSession; readonly view: TrainView },
): Promise<string | undefined> {
  if (value === undefined || session.contact !== undefined) return undefined;
  if (value !== OWN_RUN) return value;
  const found = await furthestRun(run.directory, name, runId.value);
  if (found === undefined) view.say("there is no checkpoint of this run here: it begins anew");
  else view.say(`goes on with ${found}`);
  return found;
}

function inDirectory(loaded: LoadedConfig, directory: string): LoadedConfig {
  const { config } = loaded;
  return { ...loaded, config: { ...config, run: { ...config.run, directory } } };
}

function withoutContact(): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: "the node knows nobody to ask.",
    fix: "give --rdzv ws://host:port of a node of the cluster",
  });
}
