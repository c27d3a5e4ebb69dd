/** Messages as they come from others: checked, to the last field, before they are believed. */
import { z } from "zod";
import { isNodeId } from "../transport/identity.ts";
import { type MembershipMessage, MOST_RINGS } from "./message.ts";

/** Members that a record may have: the whole of an order fits into a control message. */
const MOST_MEMBERS = 4096;

const node = z.string().refine(isNodeId);
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const hash = z.string().max(128);
const work = z.string().max(1024);
const address = z.string().max(256);
const rings = z.array(address).min(1).max(MOST_RINGS);
const addresses = z.strictObject({ control: address, rings });
const ballot = z.strictObject({ round: count, node: z.union([node, z.literal("")]) });
const record = z.strictObject({
  ...{
    version: count,
    epoch: z
      .int()
      .min(0)
      .max(2 ** 32 - 1),
  },
  ...{ members: z.array(node).max(MOST_MEMBERS), step: z.int().min(-1), hash },
});
const attempt = z.strictObject({
  ...{ epoch: count, step: count, hash: hash.nullable(), suspect: node.nullable() },
});

/** What is said on the control plane about members and steps. */
export const membershipSchema: z.ZodType<MembershipMessage> = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("prepare"), ballot }),
  z.strictObject({
    ...{ type: z.literal("pledge"), ballot, chosen: record },
    vote: z.strictObject({ ballot, record }).nullable(),
  }),
  z.strictObject({ type: z.literal("refusal"), promised: ballot }),
  z.strictObject({ type: z.literal("accept"), ballot, chosen: record, record }),
  z.strictObject({ type: z.literal("accepted"), ballot, version: count }),
  z.strictObject({
    ...{ type: z.literal("order"), ballot, number: count, record, work },
    ...{ isKnown: z.boolean(), isMoving: z.boolean() },
    ...{ sources: z.array(node).max(MOST_MEMBERS), addresses: z.record(node, addresses) },
  }),
  z.strictObject({
    ...{ type: z.literal("status"), number: count, address, rings, version: count },
    ...{ step: z.int().min(-1), hash, isReady: z.boolean(), work: work.nullable() },
    ...{ attempt: attempt.nullable(), isLeaving: z.boolean() },
  }),
  z.strictObject({ type: z.literal("redirect"), leader: node, addresses }),
]);
