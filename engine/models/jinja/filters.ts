/** Filters and methods of Jinja2 that @huggingface/jinja does not have, or understands otherwise. */
import { listValue, textValue, toValue, UNDEFINED, type Value } from "./library.ts";
import { passes } from "./tests.ts";
import { fields, isSequence, items, toJson, toText } from "./values.ts";

/** What a filter or a method is called with. */
export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

type Operation = (operand: Value, args: Arguments) => Value;

/** Filters by their names. */
export const FILTERS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ["tojson", tojson],
  ["trim", (operand, args) => textValue(strip(toText(operand), chars(args), "both"))],
  ["string", (operand) => textValue(toText(operand))],
  ["upper", (operand) => textValue(toText(operand).toUpperCase())],
  ["lower", (operand) => textValue(toText(operand).toLowerCase())],
  ["capitalize", (operand) => textValue(capitalized(toText(operand)))],
  [
    "title",
    (operand) =>
      textValue(
        toText(operand)
          .split(/([-\s({[<]+)/)
          .map(capitalized)
          .join(""),
      ),
  ],
  ["length", (operand) => toValue(elements(operand).length)],
  ["count", (operand) => toValue(elements(operand).length)],
  ["list", (operand) => listValue(elements(operand))],
  ["first", (operand) => elements(operand)[0] ?? UNDEFINED],
  ["last", (operand) => elements(operand).at(-1) ?? UNDEFINED],
  ["join", join],
  ["select", (operand, args) => select(operand, args, { keep: true, byAttribute: false })],
  ["reject", (operand, args) => select(operand, args, { keep: false, byAttribute: false })],
  ["selectattr", (operand, args) => select(operand, args, { keep: true, byAttribute: true })],
  ["rejectattr", (operand, args) => select(operand, args, { keep: false, byAttribute: true })],
  ["map", map],
  ["items", (operand) => (operand.type === "UndefinedValue" ? listValue([]) : pairs(operand))],
]);

/** Methods of strings by their names. */
export const STRING_METHODS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ["strip", (operand, args) => textValue(strip(toText(operand), chars(args), "both"))],
  ["lstrip", (operand, args) => textValue(strip(toText(operand), chars(args), "left"))],
  ["rstrip", (operand, args) => textValue(strip(toText(operand), chars(args), "right"))],
  ["capitalize", (operand) => textValue(capitalized(toText(operand)))],
  ["title", (operand) => textValue(toText(operand).replace(/\p{L}+/gu, capitalized))],
]);

/** What a loop over a value runs through, and what its length counts. */
export function elements(value: Value): readonly Value[] {
  if (isSequence(value)) return items(value);
  switch (value.type) {
    case "ObjectValue":
      return Array.from(fields(value).keys(), textValue);
    case "StringValue":
      return Array.from(value.value as string, textValue);
    case "UndefinedValue":
      return [];
    default:
      throw new Error(`a ${value.type} has no elements`);
  }
}

function pairs(operand: Value): Value {
  if (operand.type !== "ObjectValue") throw new Error(`a ${operand.type} has no items`);
  return listValue(
    Array.from(fields(operand), ([key, value]) => listValue([textValue(key), value])),
  );
}

/** The elements that pass a test, or do not; without a test, those that are true. */
function select(
  operand: Value,
  { positional }: Arguments,
  { keep, byAttribute }: { readonly keep: boolean; readonly byAttribute: boolean },
): Value {
  const [attribute, [test, other]] = byAttribute
    ? [positional[0], positional.slice(1)]
    : [undefined, positional];
  const holds = (item: Value): boolean => {
    const value = attribute ? attributeOf(item, toText(attribute)) : item;
    return test ? passes(value, toText(test), other) : value.__bool__().value;
  };
  return listValue(elements(operand).filter((item) => holds(item) === keep));
}

/** An attribute of each element, or what a filter makes of it. */
function map(operand: Value, { positional, named }: Arguments): Value {
  const attribute = named.get("attribute");
  if (attribute) {
    const missing = named.get("default") ?? UNDEFINED;
    const read = (item: Value): Value => {
      const value = attributeOf(item, toText(attribute));
      return value.type === "UndefinedValue" ? missing : value;
    };
    return listValue(elements(operand).map(read));
  }
  const [name, ...rest] = positional;
  const filter = name && FILTERS.get(toText(name));
  if (!filter) throw new Error("map takes an attribute or a filter");
  return listValue(elements(operand).map((item) => filter(item, { positional: rest, named })));
}

/** What stands at a path such as "function.name". */
function attributeOf(value: Value, path: string): Value {
  return path.split(".").reduce((inner, key) => {
    if (inner.type === "ObjectValue") return fields(inner).get(key) ?? UNDEFINED;
    return (isSequence(inner) ? items(inner)[Number(key)] : undefined) ?? UNDEFINED;
  }, value);
}

function join(operand: Value, args: Arguments): Value {
  if (args.named.has("attribute") || args.positional.length > 1) {
    throw new Error("join by attribute is not supported");
  }
  const separator = argument(args, 0, "d");
  return textValue(
    elements(operand)
      .map(toText)
      .join(separator ? toText(separator) : ""),
  );
}

/** transformers' tojson, which escapes no HTML. */
function tojson(operand: Value, args: Arguments): Value {
  const [ascii, indent, separators, sort] = [
    "ensure_ascii",
    "indent",
    "separators",
    "sort_keys",
  ].map((name, at) => argument(args, at, name));
  const wide = indent && indent.type !== "NullValue" ? Number(indent.value) : undefined;
  const [item, key] = separators && isSequence(separators) ? items(separators).map(toText) : [];
  return textValue(
    toJson(operand, {
      indent: wide,
      separators: item !== undefined && key !== undefined ? [item, key] : undefined,
      ensureAscii: ascii?.__bool__().value ?? false,
      sortKeys: sort?.__bool__().value ?? false,
    }),
  );
}

function argument({ positional, named }: Arguments, at: number, name: string): Value | undefined {
  return positional[at] ?? named.get(name);
}

function chars(args: Arguments): string | undefined {
  const given = argument(args, 0, "chars");
  return given && given.type !== "NullValue" ? toText(given) : undefined;
}

function capitalized(text: string): string {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
}

/** Python's strip(): `chars` off the ends, or white space. */
function strip(text: string, chars: string | undefined, ends: "left" | "right" | "both"): string {
  const all = Array.from(text);
  const goes = (char: string | undefined): boolean =>
    char !== undefined && (chars === undefined ? isSpace(char) : chars.includes(char));
  let begin = 0;
  let end = all.length;
  if (ends !== "right") while (begin < end && goes(all[begin])) begin++;
  if (ends !== "left") while (end > begin && goes(all[end - 1])) end--;
  return all.slice(begin, end).join("");
}

/** Python's str.isspace(), which knows the separators of ASCII but no byte order mark. */
function isSpace(char: string): boolean {
  return /\p{White_Space}/u.test(char) || (char >= "\x1c" && char <= "\x1f");
}
