/** The format of Llama 3.1 and its successors. */
import type { MalformedCall } from "../chat/chat.ts";
import type { ToolDefinition } from "../message.ts";
import { joined } from "./content.ts";
import type { ParsedCall, ParsedReply, ToolCallFormat } from "./format.ts";
import { callOf, hasInput } from "./json-call.ts";
import { isObject } from "./json-object.ts";
import { readJson, skipSpace } from "./json-scanner.ts";

/**
 * `{"name": …, "parameters": {…}}`, maybe behind `<|python_tag|>`; several with `;` or white space between them. Without
 * the tag a call begins a line, and has parameters or the name of a tool: all other JSON is content.
 */
export const LLAMA3: ToolCallFormat = {
  name: "llama3",
  parse: (text, tools) => new Reader(text, tools).read(),
};

const TAG = "<|python_tag|>";
const FORM = '{"name": ..., "parameters": {...}}';

/** Where a call may begin: the tag, or a line with an object whose first key is a name. */
const BEGIN = /<\|python_tag\|>|^[ \t]*\{\s*["']name["']/gm;

/** What may stand between calls. */
const BETWEEN = /[;\s]*/y;

/** Goes over a text once, from its beginning to its end. */
class Reader {
  readonly #text: string;
  readonly #tools: ReadonlySet<string>;
  readonly #parts: string[] = [];
  readonly #calls: ParsedCall[] = [];
  readonly #malformed: MalformedCall[] = [];

  constructor(text: string, tools: readonly ToolDefinition[]) {
    this.#text = text;
    this.#tools = new Set(tools.map(({ name }) => name));
  }

  read(): ParsedReply {
    const text = this.#text;
    /** Where what is not yet taken begins, and where to look for a call. */
    let [from, at] = [0, 0];
    for (;;) {
      const isBehindCall = from > 0 && at === from && text[at] === "{";
      const begin = isBehindCall ? at : this.#next(at);
      if (begin >= text.length) break;
      const call = this.#call(begin, isBehindCall);
      at = call.end;
      if (!call.isMeant) continue;
      this.#parts.push(text.slice(from, begin));
      BETWEEN.lastIndex = at;
      from = at += BETWEEN.exec(text)?.[0].length ?? 0;
    }
    this.#parts.push(text.slice(from));
    return { content: joined(this.#parts), calls: this.#calls, malformed: this.#malformed };
  }

  /** Reads what begins like a call, which may be meant as content. */
  #call(begin: number, isBehindCall: boolean): { readonly isMeant: boolean; readonly end: number } {
    const text = this.#text;
    let from = begin;
    while (text.startsWith(TAG, from)) from = skipSpace(text, from + TAG.length);
    const read = readJson(text, from);
    if ("reason" in read) {
      const end = this.#next(Math.max(read.at, begin + 1));
      const reason = `a call must be ${FORM}; its JSON: ${read.reason}`;
      this.#malformed.push({ text: text.slice(begin, end).trim(), reason });
      return { isMeant: true, end };
    }
    const { value, end } = read;
    if (from === begin && !isBehindCall && !this.#isMeant(value)) return { isMeant: false, end };
    const call = callOf(value, "parameters");
    if ("reason" in call)
      this.#malformed.push({ text: text.slice(begin, end), reason: call.reason });
    else this.#calls.push(call);
    return { isMeant: true, end };
  }

  #isMeant(value: unknown): boolean {
    return hasInput(value) || (isObject(value) && this.#tools.has(String(value["name"])));
  }

  /** The next place from `at` on where a call may begin; the length of the text if there is none. */
  #next(at: number): number {
    BEGIN.lastIndex = at;
    return BEGIN.exec(this.#text)?.index ?? this.#text.length;
  }
}
