/**
 * JSON read from left to right by a reader that knows what must come next.
 *
 * `JSON.parse` keeps the last of equal keys without a word, rounds integers beyond 2^53, and builds whatever a hostile
 * file describes before anyone can look at it. Here a reader stops at the first thing that it does not expect.
 */
import type { ForgeError } from "../error.ts";
import { quote } from "./file-invalid.ts";

/** Makes the error of a reader: what stands in the text, and the rule that it breaks. */
export type JsonFault = (got: string, why: string) => ForgeError;

const MAX_DEPTH = 64;
const INTEGER = /(?:0|[1-9]\d{0,15})(?![\d.eE])/y;
const SCALAR =
  /(?:true|false|null|-?(?:0|[1-9]\d{0,99})(?:\.\d{1,99})?(?:[eE][+-]?\d{1,9})?)(?!\w)/y;

/** A place in a JSON text. Every method reads one value there and moves behind it, or throws what `fault` makes. */
export class JsonCursor {
  readonly #text: string;
  readonly #fault: JsonFault;
  #at = 0;

  constructor(text: string, fault: JsonFault) {
    this.#text = text;
    this.#fault = fault;
  }

  /** An object; `entry` is called behind each key and reads its value. Keys must be distinct. */
  object(entry: (key: string) => void): void {
    this.#expect("{");
    if (this.#accept("}")) return;
    const keys = new Set<string>();
    do {
      const key = this.string();
      if (keys.has(key)) throw this.#fault(`${quote(key)} twice`, "keys are unique");
      keys.add(key);
      this.#expect(":");
      entry(key);
    } while (this.#accept(","));
    this.#expect("}");
  }

  /** An array; `item` is called for each element and reads it. */
  array(item: () => void): void {
    this.#expect("[");
    if (this.#accept("]")) return;
    do item();
    while (this.#accept(","));
    this.#expect("]");
  }

  /** A string without lone surrogates. */
  string(): string {
    this.#skipSpace();
    const start = this.#at;
    const end = this.#text[start] === '"' ? this.#closingQuote(start + 1) : -1;
    if (end < 0) throw this.#unexpected("a string");
    this.#at = end + 1;
    try {
      const value: string = JSON.parse(this.#text.slice(start, end + 1));
      if (!/\p{Surrogate}/u.test(value)) return value;
    } catch {
      // a bad escape or a control character
    }
    this.#at = start;
    throw this.#unexpected("a well-formed string");
  }

  /** An integer from 0 to 2^53 − 1, written as digits only. */
  integer(): number {
    const digits = this.#match(INTEGER);
    const value = Number(digits);
    if (digits !== undefined && Number.isSafeInteger(value)) return value;
    this.#at -= digits?.length ?? 0;
    throw this.#unexpected("an integer from 0 to 2^53 − 1");
  }

  /** An array of at most `limit` integers; see {@link integer}. */
  integers(limit: number): number[] {
    const values: number[] = [];
    this.array(() => {
      if (values.length === limit) throw this.#unexpected(`at most ${limit} numbers`);
      values.push(this.integer());
    });
    return values;
  }

  /** Any value, of which nothing is kept. */
  skip(depth = 0): void {
    if (depth > MAX_DEPTH) throw this.#unexpected(`at most ${MAX_DEPTH} levels`);
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === "{") this.object(() => this.skip(depth + 1));
    else if (first === "[") this.array(() => this.skip(depth + 1));
    else if (first === '"') this.string();
    else if (this.#match(SCALAR) === undefined) throw this.#unexpected("a JSON value");
  }

  /** Holds when nothing but white space is left. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected("the end of the text");
  }

  /** The first quote from `from` on that no backslash escapes, or −1. */
  #closingQuote(from: number): number {
    const text = this.#text;
    let at = from;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    return at < text.length ? at : -1;
  }

  #expect(symbol: string): void {
    if (!this.#accept(symbol)) throw this.#unexpected(quote(symbol));
  }

  #accept(symbol: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== symbol) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  #match(pattern: RegExp): string | undefined {
    this.#skipSpace();
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #unexpected(wanted: string): ForgeError {
    const rest = this.#text.slice(this.#at, this.#at + 24);
    const got = rest === "" ? "the end of the text" : `${quote(rest)} at character ${this.#at}`;
    return this.#fault(got, `${wanted} must stand here`);
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
