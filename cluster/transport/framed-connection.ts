/** What both ends of the ring have in common: frames of their kinds, and one that closes. */
import { CLOSE, printable } from "./close-code.ts";
import { Connection, type ConnectionParts } from "./connection.ts";
import { CLOSE_BYTES, FRAME, PREFIX_BYTES } from "./frame.ts";
import type { FramedLink } from "./framed-link.ts";
import type { Reading } from "./intake.ts";

/** What a connection of the ring is made of. */
export type FramedParts = ConnectionParts<FramedLink>;

/** See the file's head. */
export abstract class FramedConnection extends Connection<FramedLink> {
  constructor(parts: FramedParts) {
    super(parts);
    parts.link.read(this.#frames());
  }

  /** Reads what a frame announces, of so many bytes; undefined for one that has no place here. What it throws ends the connection. */
  protected abstract body(kind: number, length: number): Reading | undefined;

  *#frames(): Reading {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    try {
      while (this.isOpen) {
        yield prefix;
        const kind = prefix.readUInt32LE(0);
        const length = prefix.readUInt32LE(4);
        const body = kind === FRAME.close ? this.#closing(length) : this.body(kind, length);
        if (body) yield* body;
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
