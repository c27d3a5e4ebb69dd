/** Nodes that behave: a door with an echo behind it, and a member that is to notice nothing of what others do. */
import { z } from "zod";
import { controlCodec } from "../../../cluster/protocol/control-message.ts";
import type { ControlConnection } from "../../../cluster/transport/control-connection.ts";
import { dialControl } from "../../../cluster/transport/dial.ts";
import { dialRing } from "../../../cluster/transport/dial-ring.ts";
import { DEFAULT_LIMITS } from "../../../cluster/transport/limits.ts";
import { type Listener, type ListenOptions, listen } from "../../../cluster/transport/listener.ts";
import {
  HEADER_BYTES,
  PAYLOAD_BYTES_AT,
  type RingReceiver,
  type RingSender,
} from "../../../cluster/transport/ring-connection.ts";
import type { Route } from "../../../cluster/transport/route.ts";
import { mintTicket } from "../../../cluster/transport/ticket.ts";
import { Token } from "../../../cluster/transport/token.ts";
import { RUN_ID } from "./hostile.ts";

/** A machine that is busy is no reason to part: members of these tests are told dead after a minute. */
export const PATIENT = { heartbeatMs: 20_000, firstMessageMs: 20_000, handshakeMs: 20_000 };

export const message = z.strictObject({ say: z.string() });
export type Message = z.infer<typeof message>;
export const codec = controlCodec(message, DEFAULT_LIMITS.controlBytes);

/** The door of a node that says again what it is told, and its senders. */
export interface House {
  readonly token: Token;
  readonly listener: Listener;
  readonly controls: ControlConnection<Message>[];
  readonly senders: RingSender[];
  /** Refusals so far: status and reason. */
  readonly refusals: string[];
  /** A ticket to its ring in its epoch, which is 1. */
  ticket(from: string): string;
}

export async function openHouse(options: Partial<ListenOptions<Message>> = {}): Promise<House> {
  const token = options.token ?? Token.create();
  const controls: ControlConnection<Message>[] = [];
  const senders: RingSender[] = [];
  const refusals: string[] = [];
  const listener = await listen<Message>({
    runId: RUN_ID,
    nodeId: "house",
    token,
    control: {
      codec,
      open: (connection) => {
        controls.push(connection);
        return { message: ({ say }) => void connection.send({ say }) };
      },
    },
    ring: { open: (sender) => void senders.push(sender) },
    onRefusal: ({ status, reason }) => void refusals.push(`${status} ${reason}`),
    ...options,
  });
  listener.openEpoch(1, ["member", "mallory"]);
  const key = token.ticketKey(RUN_ID);
  const ticket = (from: string): string =>
    mintTicket(key, RUN_ID, { epoch: 1, from, to: "house", expires: Date.now() + 600_000 });
  return { token, listener, controls, senders, refusals, ticket };
}

/** A header that says how many bytes follow. */
export function headerOf(bytes: number, mark = 0): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(mark, 0);
  header.writeUInt32LE(bytes, PAYLOAD_BYTES_AT);
  return header;
}

/** Waits for what happens in turns of the event loop, however long they take. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A member that has both planes open, and talks on both. */
export class Innocent {
  readonly #control: ControlConnection<Message>;
  readonly #receiver: RingReceiver;
  readonly #sender: RingSender;
  readonly #heard: string[] = [];
  readonly #marks: number[] = [];
  #said = 0;

  private constructor(
    control: ControlConnection<Message>,
    receiver: RingReceiver,
    sender: RingSender,
    heard: string[],
    marks: number[],
  ) {
    this.#control = control;
    this.#receiver = receiver;
    this.#sender = sender;
    this.#heard = heard;
    this.#marks = marks;
  }

  static async join({ listener, token, ticket, senders }: House): Promise<Innocent> {
    const heard: string[] = [];
    const marks: number[] = [];
    const who = { runId: RUN_ID, nodeId: "member", peer: "house", token, limits: PATIENT };
    const control = await dialControl(listener.url, {
      ...who,
      codec,
      open: () => ({ message: ({ say }) => void heard.push(say) }),
    });
    const before = senders.length;
    const receiver = await dialRing(listener.url, {
      ...who,
      ticket: ticket("member"),
      open: () => ({
        chunk: (header) => void marks.push(Buffer.from(header).readUInt32LE(0)),
      }),
    });
    const sender = senders[before];
    if (!sender) throw new Error("no sender");
    return new Innocent(control, receiver, sender, heard, marks);
  }

  /** Says something and is answered, and receives a chunk. Throws when anything is amiss. */
  async talk(): Promise<void> {
    const number = this.#said++;
    if (!this.#control.send({ say: String(number) }))
      throw new Error("the control plane is closed");
    await this.#sender.send(headerOf(4_096, number), new Uint8Array(4_096));
    await this.#sender.whenIdle();
    await until(() => this.#heard.length > number || !this.#control.isOpen);
    const isSo = Number(this.#heard[number]) === number && this.#marks[number] === number;
    if (!isSo || !this.#receiver.isOpen) throw new Error("the member was disturbed");
  }

  async leave(): Promise<void> {
    await Promise.all([this.#control.close(), this.#receiver.close()]);
  }
}

/** A route that answers nobody before they are gone. */
export class WaitingRoom {
  guests = 0;
  readonly route: Route = {
    ...{ method: "GET", path: "/wait", roles: ["trainer"] },
    answer: ({ signal }) =>
      new Promise((resolve) => {
        this.guests++;
        signal.addEventListener("abort", () => {
          this.guests--;
          resolve({ status: 200 });
        });
      }),
  };
}
