/** Chunks that a predecessor with the same plan would not have sent. */
import { ClusterError } from "../error.ts";
import type { ChunkHeader } from "../protocol/chunk-header.ts";

/** The error for such a chunk. Code: `protocol_violated`. */
export function violation(what: string, header: ChunkHeader): ClusterError {
  const { epoch, op, attempt, phase, hop, segment, bucket, offset, elements, wire } = header;
  return new ClusterError({
    code: "protocol_violated",
    what: `chunk: ${what}.`,
    got: [
      `epoch ${epoch}, op ${op}, attempt ${attempt}, ${phase} hop ${hop}`,
      `segment ${segment}, bucket ${bucket}, ${elements} elements from block ${offset} in ${wire}`,
    ].join(", "),
    why: "a predecessor that is in the same place with the same plan does not send it",
    fix: "close the connection; give all ranks the same buckets, wire type and chunk size",
  });
}
