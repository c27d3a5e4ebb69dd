/** What schemas say about themselves: keys, what they take, defaults. */
import { z } from "zod";

/** Way to a value: keys and indices from the top. */
export type Path = readonly PropertyKey[];

/** A key of a configuration as its schema describes it. */
export interface KeyDescription {
  readonly description: string;
  /** What it takes, in words. */
  readonly expected: string;
  /** Default in words; undefined for a section, and where there is none. */
  readonly preset: string | undefined;
  /** Words that it takes, where it takes a few only. */
  readonly words: readonly string[];
}

/** The schema behind defaults, `null`, completion and the like. */
export function bare(schema: z.ZodType): z.ZodType {
  const inside = within(schema);
  return inside ? bare(inside) : schema;
}

/** What a schema is wrapped around. */
function within(schema: z.ZodType): z.ZodType | undefined {
  if (schema instanceof z.ZodPipe) return schema.def.in as z.ZodType;
  const isWrapper =
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodOptional;
  return isWrapper ? (schema.def.innerType as z.ZodType) : undefined;
}

/** Keys of a section with their schemas; none for anything else. A choice of sections has the keys of all. */
export function keysOf(schema: z.ZodType): readonly (readonly [string, z.ZodType])[] {
  const own = bare(schema);
  if (own instanceof z.ZodObject) return Object.entries(own.shape) as [string, z.ZodType][];
  if (own instanceof z.ZodUnion) {
    const all = (own.options as z.ZodType[]).flatMap(keysOf);
    return all.filter(([key], i) => all.findIndex(([other]) => other === key) === i);
  }
  return [];
}

/** Whether it is a section whose keys are all known, and are printed one by one. */
export function isSection(schema: z.ZodType): boolean {
  return bare(schema) instanceof z.ZodObject;
}

/** Whether values of any key may stand in it. */
export function isOpen(schema: z.ZodType): boolean {
  const own = bare(schema);
  if (own instanceof z.ZodRecord || own instanceof z.ZodUnknown) return true;
  return own instanceof z.ZodObject && own.def.catchall instanceof z.ZodUnknown;
}

/** The schema of what stands in a value under a key or index; undefined where there is no such place. */
export function childOf(schema: z.ZodType, key: PropertyKey): z.ZodType | undefined {
  const known = keysOf(schema).find(([name]) => name === key)?.[1];
  if (known) return known;
  const own = bare(schema);
  if (own instanceof z.ZodRecord) return own.valueType as z.ZodType;
  if (isOpen(own)) return z.unknown();
  if (!/^\d+$/.test(String(key))) return undefined;
  if (own instanceof z.ZodTuple) return own.def.items[Number(key)] as z.ZodType | undefined;
  if (own instanceof z.ZodArray) return own.element as z.ZodType;
  return undefined;
}

/** The deepest schema on the way of a path. */
export function schemaAt(schema: z.ZodType, path: Path): z.ZodType {
  const [first, ...rest] = path;
  const child = first === undefined ? undefined : childOf(schema, first);
  return child ? schemaAt(child, rest) : schema;
}

/** What is there when a key is left out; undefined where that follows from other keys, or it may not be left out. */
export function presetOf(schema: z.ZodType): unknown {
  return schema instanceof z.ZodDefault ? structuredClone(schema.def.defaultValue) : undefined;
}

/** See {@link KeyDescription}. */
export function describe(schema: z.ZodType): KeyDescription {
  const { description = "", expected, preset, words = [] } = metaOf(schema);
  const value = presetOf(schema);
  return {
    description,
    expected: `${expected ?? "value"}${isNullable(schema) ? ", or null" : ""}`,
    preset: preset ?? (value === undefined ? undefined : inWords(value)),
    words,
  };
}

/** A default as one would write it. */
function inWords(value: unknown): string {
  if (typeof value === "string") return value;
  const isTiny = typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3;
  return isTiny ? value.toExponential() : JSON.stringify(value);
}

interface Meta {
  readonly description?: string;
  readonly expected?: string;
  readonly preset?: string;
  readonly words?: readonly string[];
}

/** What a schema and those that it is wrapped around say about themselves, the outer ones first. */
function metaOf(schema: z.ZodType): Meta {
  const inside = within(schema);
  const own = isSection(schema) && !inside ? { expected: `section of ${names(schema)}` } : {};
  return { ...own, ...(inside && metaOf(inside)), ...schema.meta() } as Meta;
}

const names = (schema: z.ZodType): string =>
  keysOf(schema)
    .map(([key]) => key)
    .join(", ");

function isNullable(schema: z.ZodType): boolean {
  if (schema instanceof z.ZodNullable) return true;
  const inside = within(schema);
  return inside !== undefined && isNullable(inside);
}
