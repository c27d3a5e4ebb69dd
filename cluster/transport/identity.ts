/** Names of runs and nodes, and what a node may do. */
import { ClusterError } from "../error.ts";

/** Trainers share gradients and weights; rollout nodes only play. */
export type Role = "trainer" | "rollout";

/** Messages of the cluster, or bytes of gradients. */
export type Plane = "control" | "ring";

export const ROLES: readonly Role[] = ["trainer", "rollout"];

const NODE_ID = /^[A-Za-z0-9._-]{1,64}$/;
const RUN_ID = /^[0-9a-f]{32}$/;

/** Whether it can be the name of a node. */
export function isNodeId(text: string): boolean {
  return NODE_ID.test(text);
}

/** Errors    `argument_invalid` unless it can be the name of a node. */
export function checkNodeId(text: string): string {
  if (isNodeId(text)) return text;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this cannot be a node id.",
    got: JSON.stringify(text).slice(0, 80),
    why: "node ids are of 1 to 64 letters, digits, dots, dashes and underscores",
    fix: "give the node another id",
  });
}

/** Errors    `argument_invalid` unless it is 16 bytes in hex. */
export function checkRunId(text: string): string {
  if (RUN_ID.test(text)) return text;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this cannot be a run id.",
    got: JSON.stringify(text).slice(0, 80),
    why: "run ids are 16 bytes: 32 digits of lower-case hex",
    fix: "use the run id that the leader printed",
  });
}

/** Errors    `argument_invalid` unless it is an unsigned integer of 32 bits. */
export function checkEpoch(epoch: number): number {
  if (Number.isInteger(epoch) && epoch >= 0 && epoch < 2 ** 32) return epoch;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this cannot be an epoch.",
    got: String(epoch),
    why: "epochs are unsigned integers of 32 bits",
    fix: "count the generations of the membership from 0",
  });
}
