/** The head of an HTTP answer, by hand: where bytes go to an {@link Intake}, no parser of Node's can have them. */

/** Bytes of a head at most. */
const MOST_BYTES = 2 ** 13;

const STATUS = /^HTTP\/1\.1 (\d{3})(?: |$)/;

/** What was answered. */
export interface HttpHead {
  /** 0 for what is no HTTP, or has no end. */
  readonly status: number;
  /** By names in lower case; one that comes twice is none. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** What came behind it. */
  readonly rest: Uint8Array;
}

/** Gathers a head. */
export class HttpHeadReader {
  #bytes = Buffer.alloc(0);

  /** Takes what has come; the head, when that is all of it. Nothing may be read after it. */
  read(bytes: Uint8Array): HttpHead | undefined {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    const end = this.#bytes.indexOf("\r\n\r\n");
    if (end < 0 && this.#bytes.length <= MOST_BYTES) return undefined;
    const [first = "", ...lines] = this.#bytes
      .toString("latin1", 0, Math.max(0, end))
      .split("\r\n");
    const headers: Record<string, string | undefined> = Object.create(null);
    for (const line of lines) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      headers[name] = name in headers ? undefined : line.slice(colon + 1).trim();
    }
    const status = Number(STATUS.exec(first)?.[1] ?? 0);
    return { status, headers, rest: this.#bytes.subarray(end + 4) };
  }
}
