/** What goes between simulated nodes, where in the protocol it belongs, and how it is spoilt. */
import type { MembershipMessage } from "../../../cluster/membership/message.ts";
import { membershipSchema } from "../../../cluster/membership/message-schema.ts";
import { controlCodec } from "../../../cluster/protocol/control-message.ts";
import type { Phase } from "../../../cluster/ring/segments.ts";
import { DEFAULT_LIMITS } from "../../../cluster/transport/limits.ts";
import type { Random } from "./random.ts";

/** What goes between nodes; `text` is what becomes of a control message that is not as it was. */
export type Packet =
  | { readonly plane: "control"; readonly message: MembershipMessage }
  | { readonly plane: "text"; readonly text: string }
  | ChunkPacket
  | { readonly plane: "fetch"; readonly step: number; readonly hash: string; readonly part: number }
  | StatePart;

/** A chunk, header and payload, on the connection of an epoch. */
export interface ChunkPacket {
  readonly plane: "chunk";
  readonly epoch: number;
  readonly phase: Phase;
  readonly hop: number;
  readonly header: Uint8Array;
  /** Of the sender's memory, until it is taken. */
  readonly payload: Uint8Array;
  /** Whether the connection has ended. */
  readonly isGone: () => boolean;
  /** Tells the sender that it has been taken. */
  readonly taken: () => void;
}

/** A part of a state on its way to a newcomer. */
export interface StatePart {
  readonly plane: "state";
  readonly hash: string;
  readonly part: number;
  readonly bytes: Uint8Array;
}

/** How bytes are spoilt. */
export type Damage = "truncated" | "corrupt";

export const codec = controlCodec(membershipSchema, DEFAULT_LIMITS.controlBytes);

/** The phase of the protocol that a packet belongs to: a message by its name, a chunk by its hop. */
export function phaseOf(packet: Packet): string {
  switch (packet.plane) {
    case "control": {
      const { message } = packet;
      if (message.type !== "accept") return message.type;
      return message.record.step > message.chosen.step ? "accept a step" : "accept an epoch";
    }
    case "chunk":
      return `${packet.phase} ${packet.hop}`;
    default:
      return packet.plane;
  }
}

/** The packet with a bit turned or its end gone; undefined where nothing of it can be understood. */
export function damaged(packet: Packet, damage: Damage, random: Random): Packet | undefined {
  const spoilt = (bytes: Uint8Array): Uint8Array => {
    if (damage === "truncated") return bytes.slice(0, random.below(bytes.length));
    const copy = bytes.slice();
    const at = random.below(bytes.length);
    copy[at] = (copy[at] as number) ^ (1 << random.below(8));
    return copy;
  };
  switch (packet.plane) {
    case "control": {
      const bytes = spoilt(Buffer.from(codec.encode(packet.message)));
      return { plane: "text", text: Buffer.from(bytes).toString() };
    }
    case "chunk":
      return random.chance(0.5)
        ? { ...packet, header: spoilt(packet.header) }
        : { ...packet, payload: spoilt(packet.payload) };
    case "state":
      return { ...packet, bytes: spoilt(packet.bytes) };
    default:
      return undefined;
  }
}
