/** What is wrong with a configuration, all at once. */
import type { z } from "zod";
import { ForgeError } from "../../../engine/error.ts";
import { nearest } from "./nearest.ts";
import { schema } from "./schema.ts";
import { describe, keysOf, type Path, schemaAt } from "./schema-walk.ts";

/** One thing that is wrong. */
export interface Problem {
  /** Where; empty for the whole. */
  readonly path: Path;
  /** What is wrong, and what to write instead. */
  readonly text: string;
}

/** Throws `config_invalid` with all problems, if there are any. */
export function refuseFor(
  problems: readonly Problem[],
  source: string,
  locate: (path: Path) => string | undefined = () => undefined,
): void {
  if (problems.length === 0) return;
  const lines = problems.map(({ path, text }) => {
    const at = path.length > 0 ? `${dotted(path)}: ` : "";
    const place = locate(path);
    return `${at}${text}${place === undefined ? "" : ` (${place})`}`;
  });
  throw new ForgeError({
    code: "config_invalid",
    what: `${source}: ${lines.length === 1 ? "a problem" : `${lines.length} problems`}.`,
    got: lines.join("\n       "),
    fix: "correct it; forge-gpu train <config> --print-config lists every key with its default",
  });
}

/** What zod found, in our words. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], value: unknown): Problem[] {
  const problems = issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => unknownKey([...issue.path, key]))
      : [wrongValue(issue.path, value)],
  );
  const names = problems.map(({ path }) => dotted(path));
  return problems.filter((_, i) => names.indexOf(String(names[i])) === i);
}

/** A key that there is not. */
export function unknownKey(path: Path): Problem {
  const meant = nearestPath(path);
  const section = keysOf(schemaAt(schema, path)).map(([key]) => key);
  const known = section.length > 0 ? `; there are ${section.join(", ")}` : "";
  return { path, text: `no such key${meant ? `; did you mean ${meant}?` : known}` };
}

function wrongValue(path: Path, value: unknown): Problem {
  const got = path.reduce<unknown>((v, key) => Object(v)[key], value);
  const { expected, words } = describe(schemaAt(schema, path));
  if (got === undefined) return { path, text: `missing; expected ${expected}` };
  const meant = typeof got === "string" ? nearest(got, words) : undefined;
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return { path, text: `expected ${expected}, got ${shown(got)}${hint}` };
}

/** The key that was meant: one of the same section, else one of any. */
function nearestPath(path: Path): string | undefined {
  const word = String(path.at(-1));
  const parent = path.slice(0, -1);
  const siblings = keysOf(schemaAt(schema, parent)).map(([key]) => key);
  const sibling = nearest(word, siblings);
  if (sibling !== undefined) return dotted([...parent, sibling]);
  const all = allPaths(schema);
  const leaves = all.map((p) => String(p.at(-1)));
  // Short words are near to too many others.
  const found = word.length > 4 ? nearest(word, leaves) : leaves.find((leaf) => leaf === word);
  const other = all.find((p) => p.at(-1) === found);
  return other && dotted(other);
}

function allPaths(of: z.ZodType): Path[] {
  return keysOf(of).flatMap(([key, child]) => [
    [key],
    ...allPaths(child).map((path) => [key, ...path]),
  ]);
}

/** A path as it is written in `--set`. */
export function dotted(path: Path): string {
  return path.map(String).join(".");
}

/** A value as text, short. */
function shown(value: unknown): string {
  if (typeof value === "function") return "a function";
  const text = typeof value === "bigint" ? `${value}n` : (stringified(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function stringified(value: unknown): string | undefined {
  try {
    return typeof value === "number" ? String(value) : JSON.stringify(value);
  } catch {
    return "an object that refers to itself";
  }
}
