/** What an agent is told of a call: text, well formed, and no more of it than it may see. */
import { ForgeError } from "../../../engine/error.ts";

/** Text, and whether there was more of it. */
export interface ShownText {
  readonly content: string;
  readonly isCut: boolean;
}

/**
 * What a tool returned, as text: text as it is, `undefined` as "", bytes by their number, anything else as JSON.
 *
 * Throws for what JSON would refuse or change in silence: cycles, bigints, functions, symbols, maps, sets, and numbers that
 * are not finite.
 */
export function answerText(result: unknown): string {
  if (typeof result === "string") return result;
  if (result === undefined) return "";
  if (isBinary(result)) return binaryText(result);
  return JSON.stringify(result, said) ?? refuse(result, "what JSON cannot say");
}

/** A value in JSON. Bytes have a `toJSON` in Node, so they are looked for where they were. */
function said(this: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown {
  const given = this[key];
  if (isBinary(given)) return binaryText(given);
  const isLost =
    typeof value === "function" ||
    typeof value === "symbol" ||
    typeof value === "bigint" ||
    value instanceof Map ||
    value instanceof Set;
  if (isLost)
    refuse(value, `a ${typeof value === "object" ? value.constructor.name : typeof value}`);
  if (typeof value === "number" && !Number.isFinite(value)) refuse(value, String(value));
  return value;
}

function refuse(value: unknown, got: string): never {
  throw new TypeError(`the tool returned ${got}, which is no JSON`, { cause: value });
}

function isBinary(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

function binaryText({ byteLength }: { readonly byteLength: number }): string {
  return `[binary, ${byteLength} bytes]`;
}

/** What was thrown, in words: of an error of forge-gpu its first line, without the code. Never throws. */
export function errorText(error: unknown): string {
  try {
    if (error instanceof ForgeError) {
      const [line = ""] = error.message.split("\n", 1);
      return line.slice(line.indexOf("]") + 2);
    }
    if (error instanceof Error) return String(error.message) || String(error.name);
    return String(error);
  } catch {
    return "what was thrown cannot be said";
  }
}

/**
 * The first `most` UTF-16 units of a text, and a note of how many there were where that is not all. A pair of surrogates is
 * not cut in two, and a surrogate without its other half becomes U+FFFD, as it would in UTF-8.
 */
export function shownText(text: string, most: number): ShownText {
  const isCut = text.length > most;
  if (!isCut) return { content: wellFormed(text), isCut };
  const end = isPair(text, most) ? most - 1 : most;
  const note = `\n[cut: ${end} of ${text.length} characters]`;
  // joined, since a slice of its own would keep the whole text in memory
  return { content: [wellFormed(text.slice(0, end)), note].join(""), isCut };
}

/** Whether the unit before `at` and the one there are halves of one character. */
function isPair(text: string, at: number): boolean {
  return (text.codePointAt(at - 1) ?? 0) > 0xffff;
}

function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
