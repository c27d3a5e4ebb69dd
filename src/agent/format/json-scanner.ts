/** Finds where JSON ends that stands in the midst of a text, and says what is wrong where it is none. */

/** What {@link readJson} found. */
export type JsonReading =
  /** A value, and the place behind it. */
  | { readonly value: unknown; readonly end: number }
  /** Why there is none, in words for who wrote it, and the place where that is seen. */
  | { readonly reason: string; readonly at: number };

/** Deeper than any input of a tool; what walks through a value may do so by recursion. */
const MAX_DEPTH = 100;

const [TAB, LINE_FEED, RETURN, SPACE, QUOTE, BACKSLASH] = [9, 10, 13, 32, 34, 92] as const;

/**
 * Reads the JSON value that begins at a place of a text, white space before it left out. What stands behind the value is
 * not looked at. Takes time in proportion to the value, or to what is read until it is seen to be none.
 */
export function readJson(text: string, from = 0): JsonReading {
  const scanner = new JsonScanner(text, from);
  const reason = scanner.scan();
  if (reason !== undefined) return { reason, at: scanner.at };
  return { value: JSON.parse(text.slice(from, scanner.at)), end: scanner.at };
}

/** The first place at or behind `from` that is no white space of JSON. */
export function skipSpace(text: string, from: number): number {
  let at = from;
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Walks over one value, with a stack of its own: text may nest deeper than calls may. */
class JsonScanner {
  at: number;
  readonly #text: string;
  readonly #from: number;
  /** What closes the objects and lists that are open. */
  readonly #open: ("}" | "]")[] = [];

  constructor(text: string, from: number) {
    this.#text = text;
    this.#from = skipSpace(text, from);
    this.at = from;
  }

  /** Walks to the end of the value. Returns why it cannot. */
  scan(): string | undefined {
    do {
      const problem = this.#value() ?? this.#behindValue();
      if (problem !== undefined) return problem;
    } while (this.#open.length > 0);
    return undefined;
  }

  /** A scalar, an empty object or list, or the beginning of another up to its first value. */
  #value(): string | undefined {
    const first = this.#next();
    if (first === "{" || first === "[") return this.#begin(first);
    if (first === '"') return this.#string();
    const scalar = this.#word() ?? this.#number();
    if (scalar === undefined) return this.#expected("a value");
    this.at += scalar;
    return undefined;
  }

  #begin(bracket: "{" | "["): string | undefined {
    if (this.#open.length === MAX_DEPTH) return `it nests deeper than ${MAX_DEPTH} levels`;
    const closing = bracket === "{" ? "}" : "]";
    this.at++;
    if (this.#next() === closing) {
      this.at++;
      return undefined;
    }
    this.#open.push(closing);
    return (bracket === "{" ? this.#key() : undefined) ?? this.#value();
  }

  #key(): string | undefined {
    if (this.#next() !== '"') return this.#expected("a name in double quotes");
    const problem = this.#string();
    if (problem !== undefined) return problem;
    if (this.#next() !== ":") return this.#expected('":"');
    this.at++;
    return undefined;
  }

  /** Closes what ends here, and goes to the next value of what does not. */
  #behindValue(): string | undefined {
    for (;;) {
      const closing = this.#open.at(-1);
      if (closing === undefined) return undefined;
      const next = this.#next();
      if (next !== closing && next !== ",") return this.#expected(`"," or "${closing}"`);
      this.at++;
      if (next === ",") return closing === "}" ? this.#key() : undefined;
      this.#open.pop();
    }
  }

  #string(): string | undefined {
    const text = this.#text;
    for (let at = this.at + 1; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) {
        this.at = at + 1;
        return undefined;
      }
      if (code === BACKSLASH) {
        const length = escapeLength(text, at);
        if (length === 0) {
          this.at = at;
          return this.#expected("an escape of JSON, such as \\\\ or \\n");
        }
        at += length - 1;
      } else if (code < SPACE) {
        this.at = at;
        return this.#expected("line breaks and tabs in strings as \\n and \\t");
      }
    }
    this.at = text.length;
    return this.#expected("the rest");
  }

  /** Length of a word of JSON that stands here. */
  #word(): number | undefined {
    return ["true", "false", "null"].find((word) => this.#text.startsWith(word, this.at))?.length;
  }

  /** Length of a number that stands here. */
  #number(): number | undefined {
    const text = this.#text;
    const digitsFrom = text[this.at] === "-" ? this.at + 1 : this.at;
    let at = digitsEnd(text, digitsFrom);
    if (at === digitsFrom || (text[digitsFrom] === "0" && at > digitsFrom + 1)) return undefined;
    if (text[at] === ".") {
      const end = digitsEnd(text, at + 1);
      if (end === at + 1) return undefined;
      at = end;
    }
    if (text[at] === "e" || text[at] === "E") {
      const from = text[at + 1] === "+" || text[at + 1] === "-" ? at + 2 : at + 1;
      const end = digitsEnd(text, from);
      if (end === from) return undefined;
      at = end;
    }
    return at - this.at;
  }

  #next(): string | undefined {
    this.at = skipSpace(this.#text, this.at);
    return this.#text[this.at];
  }

  #expected(what: string): string {
    if (this.at >= this.#text.length) return "it ends before it is complete";
    const got = JSON.stringify(this.#text.slice(this.at, this.at + 12));
    return `at character ${this.at - this.#from + 1} it must have ${what}, and has ${got}`;
  }
}

/** Length of the escape that a backslash begins; 0 for what is none. */
function escapeLength(text: string, at: number): number {
  const letter = text[at + 1];
  if (letter === undefined) return 0;
  if (letter === "u") return /^[0-9a-f]{4}$/i.test(text.slice(at + 2, at + 6)) ? 6 : 0;
  return '"\\/bfnrt'.includes(letter) ? 2 : 0;
}

function digitsEnd(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57) at++;
  return at;
}

function isSpace(code: number): boolean {
  return code === SPACE || code === LINE_FEED || code === RETURN || code === TAB;
}
