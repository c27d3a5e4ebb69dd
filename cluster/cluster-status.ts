/** What a node says of itself and its cluster, to whoever knows the token. */
import { z } from "zod";
import { ClusterError } from "./error.ts";
import { isNodeId } from "./transport/identity.ts";

const node = z.string().refine(isNodeId);

const schema = z.strictObject({
  node,
  /** Whether it leads; and who does, as far as it knows. */
  isLeading: z.boolean(),
  leader: node.nullable(),
  epoch: z.int().min(0),
  /** Steps that are committed, and the hash of the state after the last one. */
  step: z.int().min(-1),
  hash: z.string().max(128),
  members: z.array(node).max(4096),
  /** Of the state that this node has; −1 for none. */
  ownStep: z.int().min(-1),
  /** Where members are reached, as far as it knows. */
  addresses: z.record(node, z.string().max(256)),
  /** Sent in collectives so far, and the seconds that they took. */
  sentBytes: z.number().min(0),
  collectiveSeconds: z.number().min(0),
  /** Seconds since it was opened. */
  uptime: z.number().min(0),
});

/** See the file's head. */
export type ClusterStatus = z.infer<typeof schema>;

/** Errors    `peer_invalid` for what is no status. */
export function readStatus(value: unknown): ClusterStatus {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw new ClusterError({
    code: "peer_invalid",
    what: "a node says nothing that could be understood of its cluster.",
    got: read.error.issues[0]?.path.join(".") ?? "",
    fix: "use the version of forge-gpu that the node runs",
  });
}
