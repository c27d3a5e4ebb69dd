/** A socket that speaks frames, under a connection. */
import type { Duplex } from "node:stream";
import { CLOSE } from "./close-code.ts";
import type { Link, LinkEvents } from "./connection.ts";
import { closeFrame } from "./frame.ts";
import type { Intake, Reading } from "./intake.ts";

/**
 * Takes a socket that was upgraded. Whoever made it brings what it receives to the intake; both ends speak until one closes:
 * then it sends no more, and what still comes is thrown away.
 */
export class FramedLink implements Link {
  readonly #socket: Duplex;
  readonly #intake: Intake;
  /** What the peer has said at its end. */
  #told: { readonly code: number; readonly reason: string } | undefined;
  #isClosing = false;

  constructor(socket: Duplex, intake: Intake) {
    this.#socket = socket;
    this.#intake = intake;
  }

  get isOpen(): boolean {
    return !this.#isClosing && !this.#socket.destroyed;
  }

  get isGone(): boolean {
    return this.#socket.destroyed;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  watch(events: LinkEvents): void {
    const socket = this.#socket;
    socket.on("error", (error: Error) => {
      this.#isClosing = true;
      // one that has said why it goes may go as it likes
      if (!this.#told) events.broken(error);
    });
    // what is not closed in words is not closed, but this is all that will come
    socket.on("end", () => {
      this.#isClosing = true;
      socket.end();
    });
    socket.once("close", () => {
      this.#intake.stop();
      const { code, reason } = this.#told ?? { code: CLOSE.abnormal, reason: "" };
      events.gone(code, reason);
    });
  }

  /** Reads frames. */
  read(reading: Reading): void {
    this.#intake.start(reading);
  }

  /** Sends pieces of one frame, or of several, at once; calls back when they have left. They must stay as they are until then. */
  send(pieces: readonly Uint8Array[], onWritten?: () => void): void {
    const last = pieces.length - 1;
    this.#socket.cork();
    for (const [i, piece] of pieces.entries()) {
      this.#socket.write(piece, i === last ? onWritten : undefined);
    }
    this.#socket.uncork();
  }

  /** The peer has closed. */
  told(code: number, reason: string): void {
    this.#told = { code, reason };
    this.#end();
  }

  close(code: number, reason: string): void {
    this.#end(closeFrame(code, reason));
  }

  terminate(): void {
    this.#isClosing = true;
    this.#intake.stop();
    this.#socket.destroy();
  }

  #end(last?: Uint8Array): void {
    this.#intake.stop();
    if (this.#isClosing) return;
    this.#isClosing = true;
    if (last) this.#socket.end(last);
    else this.#socket.end();
  }
}
