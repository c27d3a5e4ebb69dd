/** The format of Hermes and Qwen, which many models learned. */
import type { MalformedCall } from "../chat/chat.ts";
import { joined, withoutBreaks } from "./content.ts";
import type { ParsedCall, ParsedReply, ToolCallFormat } from "./format.ts";
import { callOf, type Reason } from "./json-call.ts";
import { readJson, skipSpace } from "./json-scanner.ts";

/**
 * `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>`, once for each call, behind `<think>…</think>` and content.
 *
 * Thoughts begin the reply; or the prompt ended with their opening tag, and the reply has the closing one alone. A call
 * whose JSON is whole needs no closing tag at the end of the reply or before another.
 */
export const HERMES: ToolCallFormat = { name: "hermes", parse };

const [OPEN, CLOSE] = ["<tool_call>", "</tool_call>"] as const;
const [THINK, THOUGHT] = ["<think>", "</think>"] as const;

function parse(text: string): ParsedReply {
  const begin = text.trimStart().startsWith(THINK) ? text.indexOf(THINK) + THINK.length : 0;
  const end = text.indexOf(THOUGHT);
  const first = text.indexOf(OPEN);
  if (begin > 0 && end < 0) return onlyThoughts(text.slice(begin));
  const hasThoughts = begin > 0 || (end >= 0 && (first < 0 || end < first));
  if (!hasThoughts) return new Reader(text).read();
  const reasoning = withoutBreaks(text.slice(begin, end));
  const spoken = text.slice(end + THOUGHT.length).replace(/^\n+/, "");
  return { ...(reasoning !== "" && { reasoning }), ...new Reader(spoken).read() };
}

/** A reply whose thoughts never end. */
function onlyThoughts(text: string): ParsedReply {
  const at = text.indexOf(OPEN);
  const reasoning = withoutBreaks(at < 0 ? text : text.slice(0, at));
  const reason = `calls in thoughts are not made: write ${THOUGHT} before ${OPEN}`;
  const malformed = at < 0 ? [] : [{ text: text.slice(at), reason }];
  return { content: "", ...(reasoning !== "" && { reasoning }), calls: [], malformed };
}

/** Goes over a text once, from its beginning to its end. */
class Reader {
  readonly #text: string;
  /** Where the next tags stand; beyond the text for none. */
  #open: number;
  #close: number;
  readonly #parts: string[] = [];
  readonly #calls: ParsedCall[] = [];
  readonly #malformed: MalformedCall[] = [];

  constructor(text: string) {
    this.#text = text;
    this.#open = this.#find(OPEN, 0);
    this.#close = this.#find(CLOSE, 0);
  }

  read(): ParsedReply {
    const { length } = this.#text;
    let at = 0;
    for (;;) {
      this.#seek(at);
      const tag = Math.min(this.#open, this.#close);
      this.#parts.push(this.#text.slice(at, tag));
      if (tag >= length) break;
      at = tag === this.#open ? this.#call(tag) : this.#stray(tag);
    }
    return { content: joined(this.#parts), calls: this.#calls, malformed: this.#malformed };
  }

  /** Reads the call that a tag opens. Returns the place behind it. */
  #call(tag: number): number {
    const text = this.#text;
    const read = readJson(text, tag + OPEN.length);
    if ("reason" in read) return this.#fail(tag, read.at, `its JSON: ${read.reason}`);
    const end = skipSpace(text, read.end);
    const isClosed = text.startsWith(CLOSE, end);
    if (!isClosed && end < text.length && !text.startsWith(OPEN, end)) {
      const got = JSON.stringify(text.slice(end, end + 12));
      return this.#fail(tag, end, `behind its JSON there must be ${CLOSE}, and is ${got}`);
    }
    const next = isClosed ? end + CLOSE.length : end;
    this.#take(callOf(read.value, "arguments"), text.slice(tag, next));
    return next;
  }

  #take(call: ParsedCall | Reason, text: string): void {
    if ("reason" in call) this.#malformed.push({ text, reason: call.reason });
    else this.#calls.push(call);
  }

  /** A call that cannot be read from `at` on: it ends with its tag, or where another begins. */
  #fail(tag: number, at: number, problem: string): number {
    this.#seek(at);
    const end =
      this.#close < this.#open
        ? this.#close + CLOSE.length
        : Math.min(this.#open, this.#text.length);
    const form = `${OPEN}{"name": ..., "arguments": {...}}${CLOSE}`;
    const reason = `a call must be ${form}; ${problem}`;
    this.#malformed.push({ text: this.#text.slice(tag, end), reason });
    return end;
  }

  /** A tag that closes nothing. */
  #stray(tag: number): number {
    const reason = `there is no ${OPEN} before this ${CLOSE}`;
    this.#malformed.push({ text: CLOSE, reason });
    return tag + CLOSE.length;
  }

  /** Finds the next tags from a place on. Places only grow, so that all searches together go over the text once. */
  #seek(at: number): void {
    if (this.#open < at) this.#open = this.#find(OPEN, at);
    if (this.#close < at) this.#close = this.#find(CLOSE, at);
  }

  #find(tag: string, from: number): number {
    const at = this.#text.indexOf(tag, from);
    return at < 0 ? Number.POSITIVE_INFINITY : at;
  }
}
