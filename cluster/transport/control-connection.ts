/** The control plane: JSON messages, and heartbeats beside them. */
import type { ControlCodec } from "../protocol/control-message.ts";
import { CLOSE, type ConnectionEnd } from "./close-code.ts";
import { Connection, type ConnectionParts } from "./connection.ts";
import { Heartbeat } from "./heartbeat.ts";
import { RateLimit } from "./rate-limit.ts";
import type { WebSocketLink } from "./web-socket-link.ts";

/** What is done with the messages of a peer. */
export interface ControlHandlers<M> {
  /**
   * What it throws ends the connection: with 4000 for `message_invalid` and `frame_invalid`, with 1008 for
   * `protocol_violated`, else with 1011.
   */
  message(message: M): void;
  /** Called once, last of all. */
  end?(end: ConnectionEnd): void;
}

/** Bytes of a message that count as one more of them. */
const BYTES_A_MESSAGE = 2 ** 14;

/** Makes the handlers of a connection, before its first message. */
export type ControlOpener<M> = (connection: ControlConnection<M>) => ControlHandlers<M>;

/**
 * A connection whose messages are of one protocol, in both directions. Both ends beat: a peer that hangs, or is behind a link
 * that is cut, says nothing on its socket.
 */
export class ControlConnection<M> extends Connection<WebSocketLink> {
  readonly #rate: RateLimit;
  readonly #codec: ControlCodec<M>;
  readonly #handlers: ControlHandlers<M>;
  readonly #heartbeat: Heartbeat;

  constructor(
    parts: ConnectionParts<WebSocketLink>,
    codec: ControlCodec<M>,
    open: ControlOpener<M>,
  ) {
    super(parts);
    const { messagesPerSecond, messageBurst } = this.limits;
    this.#rate = new RateLimit(messagesPerSecond, messageBurst, this.clock);
    this.#codec = codec;
    this.#heartbeat = new Heartbeat({
      everyMs: this.limits.heartbeatMs,
      misses: this.limits.heartbeatMisses,
      clock: this.clock,
      ask: () => {
        if (this.isOpen) this.link.ping();
      },
      onDead: () => this.kill(CLOSE.dead, "no sign of life"),
    });
    this.link.receive({
      message: (data, isBinary) => this.handle(() => this.#receive(data, isBinary)),
      ping: (data) => {
        if (this.#isLife()) this.link.pong(data);
      },
      pong: () => this.#isLife(),
    });
    this.#handlers = this.opened(() => open(this), { message: () => {} });
  }

  /**
   * Sends a message; false when the connection is no longer open. One that the peer leaves unread until there is no more room
   * ends the connection with 4003.
   *
   * Errors    `message_invalid` when it is not of the protocol.
   */
  send(message: M): boolean {
    const text = this.#codec.encode(message);
    if (!this.isOpen) return false;
    if (this.bufferedBytes + Buffer.byteLength(text) > this.limits.bufferedBytes) {
      this.kill(CLOSE.slow, "messages are not read");
      return false;
    }
    this.link.send(text);
    return true;
  }

  protected override onEnd(end: ConnectionEnd): void {
    this.#heartbeat.stop();
    this.#handlers.end?.(end);
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#heartbeat.heard();
    if (!this.#isBearable(1 + Math.floor(data.length / BYTES_A_MESSAGE))) return;
    if (isBinary) this.fail(CLOSE.wrongKind, "text only");
    // ws has checked that it is UTF-8
    else this.#handlers.message(this.#codec.decode(data.toString("utf8")));
  }

  #isLife(): boolean {
    if (!this.isOpen || !this.#isBearable(1)) return false;
    this.#heartbeat.heard();
    return true;
  }

  /** Whether so many messages more can be borne from the peer; ends the connection if not. */
  #isBearable(messages: number): boolean {
    if (this.#rate.take(messages)) return true;
    this.fail(CLOSE.policy, "too many messages");
    return false;
  }
}
