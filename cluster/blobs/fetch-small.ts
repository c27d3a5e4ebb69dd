/** Fetches a small blob of which no more is known than its hash. */
import { createHash } from "node:crypto";
import { ClusterError } from "../error.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { BlobSource } from "./fetch-blob.ts";

/**
 * From one source after the other, until one has sent what the hash says.
 *
 * Errors    `peer_unreachable`: none has.
 */
export async function fetchSmall(
  client: NodeClient,
  hash: string,
  sources: readonly BlobSource[],
  { signal }: { readonly signal?: AbortSignal },
): Promise<Uint8Array> {
  const reasons: string[] = [];
  for (const { node, address } of sources) {
    try {
      const path = `/blobs/${hash}` as const;
      const request = { method: "GET" as const, path, peer: node, ...(signal && { signal }) };
      const { status, body } = await client.ask(address, request);
      if (createHash("sha256").update(body).digest("hex") === hash) return body;
      reasons.push(`${node}: ${status === 200 ? "other bytes" : `status ${status}`}`);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      reasons.push(`${node}: ${error.code}`);
    }
  }
  throw new ClusterError({
    code: "peer_unreachable",
    what: "no node has sent the bytes that were asked for.",
    got: `${hash.slice(0, 16)}…; ${reasons.join(", ") || "no sources"}`,
    fix: "ask again, or other nodes",
  });
}
