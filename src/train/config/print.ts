/** A configuration as YAML that explains itself. */
import { stringify } from "yaml";
import type { z } from "zod";
import { isAlgorithm } from "./algorithm-section.ts";
import { schema } from "./schema.ts";
import { describe, isSection, keysOf } from "./schema-walk.ts";
import type { TrainConfig } from "./types.ts";

/** Columns that comments take at most. */
const WIDTH = 100;

/**
 * The configuration as YAML: above each key what it means and, in brackets, what it takes and its default.
 *
 * Parsing it gives the same configuration, but for an environment or an algorithm that is an object: those stand as
 * comments.
 */
export function printConfig(config: TrainConfig): string {
  return `${lines(schema, config, "").join("\n")}\n`;
}

function lines(of: z.ZodType, value: object, indent: string): string[] {
  const known = keysOf(of);
  const extra = Object.entries(value).filter(([key]) => !known.some(([name]) => name === key));
  return [
    ...known.flatMap(([key, child]) => {
      const inside = (value as Readonly<Record<string, unknown>>)[key];
      const gap = indent === "" && isSection(child) ? [""] : [];
      return [...gap, ...comment(child, indent), ...entry(key, child, inside, indent)];
    }),
    ...extra.map(([key, inside]) => `${indent}${inline(key)}: ${inline(inside)}`),
  ];
}

function entry(key: string, child: z.ZodType, value: unknown, indent: string): string[] {
  if (isObject(value))
    return [`${indent}# ${key}: the object "${value.name}" of the configuration's module`];
  if (!isSection(child) || value === null) return [`${indent}${key}: ${inline(value)}`];
  return [`${indent}${key}:`, ...lines(child, value as object, `${indent}  `)];
}

function comment(child: z.ZodType, indent: string): string[] {
  const { description, expected, preset } = describe(child);
  const facts = [
    ...(isSection(child) && preset === undefined ? [] : [expected]),
    ...(preset === undefined ? [] : [`default ${preset}`]),
  ];
  const words = `${description}${facts.length > 0 ? ` (${facts.join("; ")})` : ""}`.split(" ");
  const rows: string[] = [];
  for (const word of words) {
    const row = `${rows.at(-1)} ${word}`;
    if (rows.length > 0 && row.length <= WIDTH) rows[rows.length - 1] = row;
    else rows.push(`${indent}# ${word}`);
  }
  return rows;
}

/** A value on one line. */
function inline(value: unknown): string {
  const text = stringify(value, {
    collectionStyle: "flow",
    lineWidth: 0,
    flowCollectionPadding: true,
  });
  // A text of several lines would become a block; JSON is YAML too.
  return text.trimEnd().includes("\n") ? JSON.stringify(value) : text.trimEnd();
}

/** Whether it is an environment or an algorithm as an object, which YAML cannot say. */
function isObject(value: unknown): value is { readonly name: string } {
  if (typeof value !== "object" || value === null) return false;
  return "play" in value || isAlgorithm(value);
}
