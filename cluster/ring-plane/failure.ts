/** Why a ring came to nothing, and who may be to blame. */
import { ClusterError } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import { CLOSE, type ConnectionEnd } from "../transport/close-code.ts";

/** A neighbour is gone. One that has said why it goes is not to blame: it obeys the leader, who knows. */
export function lost(neighbour: NodeId, end: ConnectionEnd): ClusterError {
  const isTold = end.by === "peer" && end.code !== CLOSE.internal;
  return new ClusterError({
    code: "connection_closed",
    what: "ring: the connection to a neighbour has ended.",
    got: `${neighbour}: ${end.code} ${end.reason}, by ${end.by}`,
    fix: "abort the collective; the leader decides who goes on",
    ...(!isTold && { suspect: neighbour }),
    cause: end.cause,
  });
}

/** A neighbour has done nothing for too long. */
export function stalled(neighbour: NodeId, what: string, ms: number): ClusterError {
  return new ClusterError({
    code: "peer_stalled",
    what: `ring: ${what}.`,
    got: `nothing from ${neighbour} in ${ms} ms`,
    why: "it hangs, or one before it in the ring does",
    fix: "abort the collective; the leader decides who goes on",
    suspect: neighbour,
  });
}

/** A member is there, and has let the others wait for too long. */
export function unready(member: NodeId, ms: number): ClusterError {
  return new ClusterError({
    code: "peer_stalled",
    what: "ring: a member does not become ready.",
    got: `${member} in ${ms} ms`,
    why: "what it computes takes too long, or it hangs",
    fix: "abort the collective; the leader decides who goes on",
    suspect: member,
  });
}

/** The predecessor has sent what it cannot have to send; or what it had to is of no use. */
export function spoiled(neighbour: NodeId, cause: ClusterError): ClusterError {
  const isTheirs = cause.code === "frame_invalid" || cause.code === "protocol_violated";
  return new ClusterError({
    code: cause.code,
    what: `ring: a chunk from ${neighbour} cannot be taken.`,
    why: cause.message.split("\n")[0] as string,
    fix: "abort the collective; the leader decides who goes on",
    ...(isTheirs && { suspect: neighbour }),
    cause,
  });
}

/** The predecessor does not let us in. */
export function unreached(neighbour: NodeId, cause: unknown): ClusterError {
  const code = cause instanceof ClusterError ? cause.code : "peer_unreachable";
  // one that refuses us knows something that we do not
  const isGone = code === "peer_unreachable" || code === "peer_not_ready";
  return new ClusterError({
    code,
    what: "ring: the predecessor cannot be reached.",
    got: neighbour,
    fix: "abort the collective; the leader decides who goes on",
    ...(isGone && { suspect: neighbour }),
    cause,
  });
}

/** Nobody is to blame. */
export function aborted(why: string): ClusterError {
  return new ClusterError({
    code: "collective_aborted",
    what: "ring: the collective was aborted.",
    why,
    fix: "begin the next epoch, and try again",
  });
}

/** A sign from further before us than there are members. */
export function wrongSign(hops: number, world: number): ClusterError {
  return new ClusterError({
    code: "protocol_violated",
    what: "ring: a sign has come further than it can.",
    got: `${hops} links in a ring of ${world}`,
    fix: "close the connection",
  });
}

/** A call that makes no sense now. */
export function misused(what: string, fix: string): ClusterError {
  return new ClusterError({ code: "argument_invalid", what: `ring: ${what}.`, fix });
}
