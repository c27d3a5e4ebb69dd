/** Where a node meets the others, by its settings. */
import { setTimeout as sleep } from "node:timers/promises";
import { NatsLink, type NatsOptions } from "../train/cluster/nats/connection.ts";
import { NatsPool } from "../train/cluster/nats/nats-pool.ts";
import { NatsRendezvous } from "../train/cluster/nats/nats-rendezvous.ts";
import { GivenRendezvous, type Rendezvous } from "../train/cluster/rendezvous.ts";
import type { NodeSettings } from "./node-settings.ts";

/** Milliseconds between two looks. */
const RETRY = 500;

/**
 * Opens it. It waits for a server of NATS as long as for the cluster.
 *
 * Errors    `package_missing`; `config_invalid`; `nats_refused`; `nats_unauthorized`; `nats_unreachable`.
 */
export async function openRendezvous(
  settings: NodeSettings,
  onTrouble: (text: string) => void,
): Promise<Rendezvous> {
  const { contacts, founding, servers } = settings;
  if (founding.value === "as-agreed" || servers.value.length > 0) {
    return NatsRendezvous.connect(serverOf(settings), {
      ...{ runId: settings.runId.value, node: settings.nodeId.value },
      onTrouble: (trouble) =>
        onTrouble(trouble === "superseded" ? SUPERSEDED : (trouble.message.split("\n")[0] ?? "")),
    });
  }
  return new GivenRendezvous(contacts.value, founding.value);
}

/** The queues of a run at the servers of NATS that the settings name; undefined where they name none. Errors: as {@link openRendezvous}. */
export async function openPool(settings: NodeSettings): Promise<NatsPool | undefined> {
  if (settings.servers.value.length === 0) return undefined;
  const [runId, node] = [settings.runId.value, settings.nodeId.value];
  const link = await NatsLink.open({ ...serverOf(settings), name: `forge-gpu pool ${node}` });
  return new NatsPool(link, { runId, node });
}

/** Addresses of nodes that may be in the cluster, once there are any, or until the node would give up. */
export async function firstContacts(
  settings: NodeSettings,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (settings.servers.value.length === 0) return settings.contacts.value;
  await using rendezvous = await openRendezvous(settings, () => {});
  const end = performance.now() + settings.joinTimeout.value;
  for (;;) {
    const contacts = await rendezvous.contacts();
    if (contacts.length > 0 || performance.now() > end)
      return contacts.map(({ address }) => address);
    await sleep(RETRY, undefined, { signal });
  }
}

const SUPERSEDED =
  "another cluster of this run was begun while this node did not reach NATS: end one of the two";

function serverOf(settings: NodeSettings): Omit<NatsOptions, "name"> {
  const { servers, natsCreds, joinTimeout, tlsCert, tlsKey, tlsCa } = settings;
  const [cert, key, ca] = [tlsCert.value, tlsKey.value, tlsCa.value];
  const isSecret = servers.value.some((url) => url.startsWith("tls:"));
  const files = { ...(cert && { cert }), ...(key && { key }), ...(ca && { ca }) };
  return {
    ...{ servers: servers.value, patience: joinTimeout.value },
    ...(natsCreds.value !== undefined && { credentials: natsCreds.value }),
    ...(isSecret && { tls: files }),
  };
}
