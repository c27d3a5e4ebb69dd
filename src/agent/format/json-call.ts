/** Calls that are JSON objects with a name and arguments. */
import type { ParsedCall } from "./format.ts";
import { isObject } from "./json-object.ts";
import { readJson } from "./json-scanner.ts";

/** Why a call is none, in words for who wrote it. */
export interface Reason {
  readonly reason: string;
}

/** What models call the input of a call. */
const INPUTS = ["arguments", "parameters"] as const;

/** One of them. */
type InputName = (typeof INPUTS)[number];

/**
 * A JSON value as a call. The input may be named in either way, may be JSON in a string, and is {} when it is left out.
 *
 * @param named as the input should be, for reasons
 */
export function callOf(value: unknown, named: InputName): ParsedCall | Reason {
  const name = isObject(value) ? value["name"] : undefined;
  if (!isObject(value) || typeof name !== "string" || name === "")
    return { reason: `a call must be an object with "name" and "${named}"` };
  const key = INPUTS.find((each) => Object.hasOwn(value, each));
  if (key === undefined) return { name, input: {} };
  const written = value[key];
  const input = typeof written === "string" ? unquoted(written) : written;
  if (isObject(input)) return { name, input };
  const got = Array.isArray(input) ? "a list" : input === null ? "null" : `a ${typeof input}`;
  return { reason: `"${key}" of ${name} must be an object, and is ${got}` };
}

/** Whether a JSON value is meant as a call, as far as can be seen. */
export function hasInput(value: unknown): boolean {
  return isObject(value) && INPUTS.some((key) => Object.hasOwn(value, key));
}

/** What a string says that is JSON, else the string. */
function unquoted(text: string): unknown {
  const read = readJson(text);
  return "value" in read && text.slice(read.end).trim() === "" ? read.value : text;
}
