/** What both ends of the ring have in common: frames of one kind, and one that closes. */
import { CLOSE, printable } from "./close-code.ts";
import { Connection, type ConnectionParts } from "./connection.ts";
import { CLOSE_BYTES, FRAME, type FrameKind, PREFIX_BYTES } from "./frame.ts";
import type { FramedLink } from "./framed-link.ts";
import type { Reading } from "./intake.ts";

/** What a connection of the ring is made of. */
export type FramedParts = ConnectionParts<FramedLink>;

/** See the file's head. */
export abstract class FramedConnection extends Connection<FramedLink> {
  constructor(parts: FramedParts, kind: FrameKind) {
    super(parts);
    parts.link.read(this.#frames(kind));
  }

  /** Reads what a frame announces, of so many bytes. What it throws ends the connection. */
  protected abstract body(length: number): Reading;

  *#frames(kind: FrameKind): Reading {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    try {
      while (this.isOpen) {
        yield prefix;
        const announced = prefix.readUInt32LE(0);
        const length = prefix.readUInt32LE(4);
        if (announced === kind) yield* this.body(length);
        else if (announced === FRAME.close) yield* this.#closing(length);
        else this.fail(CLOSE.protocolError, "unknown frame");
      }
    } catch (error) {
      this.failFor(error);
    }
  }

  *#closing(length: number): Reading {
    if (length < CLOSE_BYTES.least || length > CLOSE_BYTES.most) {
      this.fail(CLOSE.protocolError, "not a goodbye");
      return;
    }
    const bytes = Buffer.alloc(length);
    yield bytes;
    this.link.told(bytes.readUInt16LE(0), printable(bytes.toString("latin1", 2)));
  }
}
