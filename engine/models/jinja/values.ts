/** What Python makes of the values of a template: as text, as JSON, and when they are equal. */

import type { Value } from "./library.ts";

/** Python's str(): what a template prints. */
export function toText(value: Value): string {
  switch (value.type) {
    case "StringValue":
      return value.value as string;
    case "UndefinedValue":
      return "";
    default:
      return toRepr(value);
  }
}

/** Python's repr(): what a template prints of a value within another. */
function toRepr(value: Value): string {
  switch (value.type) {
    case "StringValue":
      return quoted(value.value as string);
    case "NullValue":
      return "None";
    case "BooleanValue":
      return value.value ? "True" : "False";
    case "IntegerValue":
      return integerText(value.value as number);
    case "FloatValue":
      return floatText(value.value as number);
    case "ArrayValue":
      return `[${items(value).map(toRepr).join(", ")}]`;
    case "TupleValue":
      return `(${items(value).map(toRepr).join(", ")}${items(value).length === 1 ? "," : ""})`;
    case "ObjectValue": {
      const entries = Array.from(fields(value), ([key, v]) => `${quoted(key)}: ${toRepr(v)}`);
      return `{${entries.join(", ")}}`;
    }
    case "UndefinedValue":
      return "Undefined";
    default:
      throw new Error(`a ${value.type} cannot be printed`);
  }
}

/** How json.dumps lays out JSON. */
export interface JsonLayout {
  readonly indent?: number | undefined;
  readonly separators?: readonly [item: string, key: string] | undefined;
  readonly ensureAscii?: boolean;
  readonly sortKeys?: boolean;
}

/** Python's json.dumps(). */
export function toJson(value: Value, layout: JsonLayout, depth = 0): string {
  const [itemSeparator, keySeparator] =
    layout.separators ?? ([layout.indent === undefined ? ", " : ",", ": "] as const);
  const enclose = (open: string, parts: readonly string[], close: string): string => {
    if (parts.length === 0) return open + close;
    if (layout.indent === undefined) return open + parts.join(itemSeparator) + close;
    const newline = (level: number): string =>
      `\n${" ".repeat(layout.indent as number).repeat(level)}`;
    const inner = newline(depth + 1);
    return open + inner + parts.join(itemSeparator + inner) + newline(depth) + close;
  };
  switch (value.type) {
    case "NullValue":
      return "null";
    case "BooleanValue":
      return String(value.value);
    case "IntegerValue":
      return integerText(value.value as number);
    case "FloatValue":
      return floatText(value.value as number);
    case "StringValue":
      return jsonString(value.value as string, layout.ensureAscii);
    case "ArrayValue":
    case "TupleValue":
      return enclose(
        "[",
        items(value).map((item) => toJson(item, layout, depth + 1)),
        "]",
      );
    case "ObjectValue": {
      const entries = [...fields(value)];
      if (layout.sortKeys) entries.sort(([a], [b]) => compareCodePoints(a, b));
      const parts = entries.map(
        ([key, v]) =>
          jsonString(key, layout.ensureAscii) + keySeparator + toJson(v, layout, depth + 1),
      );
      return enclose("{", parts, "}");
    }
    default:
      throw new Error(`a ${value.type} is not JSON serializable`);
  }
}

/** Python's ==. */
export function equal(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return Number(a.value) === Number(b.value);
  if (a.type !== b.type) return false;
  if (isSequence(a)) {
    const [left, right] = [items(a), items(b)];
    return (
      left.length === right.length && left.every((item, at) => equal(item, right[at] as Value))
    );
  }
  if (a.type === "ObjectValue") {
    const [left, right] = [fields(a), fields(b)];
    const same = ([key, item]: readonly [string, Value]): boolean => {
      const other = right.get(key);
      return other !== undefined && equal(item, other);
    };
    return left.size === right.size && [...left].every(same);
  }
  return a.value === b.value;
}

/** Python's `in`. */
export function contains(container: Value, item: Value): boolean {
  if (isSequence(container)) return items(container).some((each) => equal(each, item));
  const text = item.type === "StringValue" ? (item.value as string) : undefined;
  if (container.type === "ObjectValue") return text !== undefined && fields(container).has(text);
  if (container.type === "UndefinedValue") return false;
  if (container.type !== "StringValue" || text === undefined) {
    throw new Error(`a ${item.type} cannot be in a ${container.type}`);
  }
  return (container.value as string).includes(text);
}

/** The remainder with the sign of the divisor. */
export function modulo(a: number, b: number): number {
  return ((a % b) + b) % b;
}

const MAX_TEXT = 1 << 26;
const MAX_LIST = 1 << 20;

/** The value, unless it is a text or a list that no chat needs. */
export function checkSize(value: Value): Value {
  const text = value.type === "StringValue";
  if (text || value.type === "ArrayValue") {
    const { length } = value.value as string | readonly Value[];
    if (length > (text ? MAX_TEXT : MAX_LIST)) throw new Error("a text or a list grows too long");
  }
  return value;
}

/** Whether a value is an integer, a float, or a boolean, which counts as 0 or 1. */
export function isNumber({ type }: Value): boolean {
  return type === "IntegerValue" || type === "FloatValue" || type === "BooleanValue";
}

/** Whether a value is a list or a tuple. */
export function isSequence({ type }: Value): boolean {
  return type === "ArrayValue" || type === "TupleValue";
}

/** The items of a list or a tuple. */
export function items({ value }: Value): readonly Value[] {
  return value as readonly Value[];
}

/** The entries of a dict. */
export function fields({ value }: Value): ReadonlyMap<string, Value> {
  return value as ReadonlyMap<string, Value>;
}

function integerText(value: number): string {
  return BigInt(value).toString();
}

/** Python's shortest digits: with an exponent below 1e-4 and from 1e16 on, and always with a point or an exponent. */
function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const [mantissa = "", digits = "0"] = value.toExponential().split("e");
  const exponent = Number(digits);
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  if (Object.is(value, -0)) return "-0.0";
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escapes: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  escapes[quote] = `\\${quote}`;
  const body = Array.from(text, (char) => {
    if (char in escapes) return escapes[char] as string;
    if (char === " " || !/[\p{C}\p{Z}]/u.test(char)) return char;
    const code = (char.codePointAt(0) as number).toString(16);
    if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
    return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
  });
  return quote + body.join("") + quote;
}

function jsonString(text: string, ensureAscii = false): string {
  const json = JSON.stringify(text);
  if (!ensureAscii) return json;
  return json.replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function compareCodePoints(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)];
  const at = left.findIndex((char, index) => char !== right[index]);
  if (at < 0) return left.length - right.length;
  return (left[at]?.codePointAt(0) ?? -1) - (right[at]?.codePointAt(0) ?? -1);
}
