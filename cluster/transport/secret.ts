/** Bytes that no log, error or run record ever shows. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";

const SHOWN = "[secret]";

/** However it is printed, it prints as `[secret]`; {@link reveal} is the one way to its bytes. */
export class Secret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = Uint8Array.from(bytes);
  }

  /** 32 bytes of the system's generator. */
  static random(): Secret {
    return new Secret(randomBytes(32));
  }

  /** As hex, for a header over an authenticated channel, or a file that is the owner's alone. */
  reveal(): string {
    return Buffer.from(this.#bytes).toString("hex");
  }

  /** HMAC-SHA256 of a text under this key. */
  hmac(text: string): Uint8Array {
    return createHmac("sha256", this.#bytes).update(text).digest();
  }

  /** Another secret, which does not give this one away. */
  derive(label: string): Secret {
    return new Secret(this.hmac(label));
  }

  /** Whether the text is this secret in hex; takes as long for any text of its length. */
  isRevealedBy(text: string): boolean {
    return isEqual(text, this.reveal());
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }
}

// not in the class: a computed name keeps its declaration from being written
Object.defineProperty(Secret.prototype, inspect.custom, { value: () => SHOWN });

/** Compares digests, so that neither lengths nor common beginnings can be timed. */
export function isEqual(one: string, other: string): boolean {
  const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
