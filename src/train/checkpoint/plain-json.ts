/** JSON that says what it was made from: what it cannot say is an error, not a null. */
import { ForgeError } from "../../../engine/index.ts";

/**
 * A value as JSON, such that reading the text gives an equal value. Properties that are undefined count as absent, and −0 as
 * 0.
 *
 * Errors    `argument_invalid`, naming the place, for numbers that are not finite, and whatever is no plain object, array,
 *           string, number, boolean or null.
 */
export function jsonText(value: object): string {
  check(value, "state");
  return `${JSON.stringify(value)}\n`;
}

function check(value: unknown, at: string): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw notPlain(at, String(value));
  } else if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], `${at}[${i}]`);
  } else if (isPlainObject(value)) {
    for (const [key, part] of Object.entries(value))
      if (part !== undefined) check(part, `${at}.${key}`);
  } else {
    throw notPlain(at, typeof value === "object" ? value.constructor.name : typeof value);
  }
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null || "toJSON" in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function notPlain(at: string, got: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `writeCheckpoint: ${at} cannot be written.`,
    got,
    why: "JSON would turn it into something else, and the resumed run would differ",
    fix: "leave it out, or write it as text or a plain array",
  });
}
