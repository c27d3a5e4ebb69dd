/** What a node says of itself and its cluster, to whoever knows the token. */
import { z } from "zod";
import { ClusterError } from "./error.ts";
import type { NodeId } from "./membership/record.ts";
import { isNodeId } from "./transport/identity.ts";
import type { NodeClient } from "./transport/node-client.ts";

/** See the file's head. */
export interface ClusterStatus {
  readonly node: NodeId;
  /** Whether it leads; and who does, as far as it knows. */
  readonly isLeading: boolean;
  readonly leader: NodeId | null;
  readonly epoch: number;
  /** Steps that are committed, and the hash of the state after the last one. */
  readonly step: number;
  readonly hash: string;
  readonly members: readonly NodeId[];
  /** Of the state that this node has; −1 for none. */
  readonly ownStep: number;
  /** Where members are reached, as far as it knows. */
  readonly addresses: Readonly<Record<NodeId, string>>;
  /** Sent in collectives so far, and the seconds that they took, waiting for others included. */
  readonly sentBytes: number;
  readonly collectiveSeconds: number;
  /** Seconds since it was opened. */
  readonly uptime: number;
}

const node = z.string().refine(isNodeId);

const schema: z.ZodType<ClusterStatus> = z.strictObject({
  ...{ node, isLeading: z.boolean(), leader: node.nullable(), epoch: z.int().min(0) },
  ...{ step: z.int().min(-1), hash: z.string().max(128), members: z.array(node).max(4096) },
  ...{ ownStep: z.int().min(-1), addresses: z.record(node, z.string().max(256)) },
  ...{ sentBytes: z.number().min(0), collectiveSeconds: z.number().min(0) },
  uptime: z.number().min(0),
});

/** What the node at an address says of its cluster. Errors: those of {@link NodeClient.ask}. */
export async function askStatus(client: NodeClient, address: string): Promise<ClusterStatus> {
  const answer = await client.ask(address, { method: "GET", path: "/status" });
  return readStatus(answer.json());
}

/** Errors    `peer_invalid` for what is no status. */
function readStatus(value: unknown): ClusterStatus {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw new ClusterError({
    code: "peer_invalid",
    what: "a node says nothing that could be understood of its cluster.",
    got: read.error.issues[0]?.path.join(".") ?? "",
    fix: "use the version of forge-gpu that the node runs",
  });
}
