/** Keys that are set from outside of the file, as by `--set rollout.groupSize=16`. */
import { parse } from "yaml";
import type { z } from "zod";
import { type Problem, refuseFor, unknownKey } from "./problems.ts";
import { schema } from "./schema.ts";
import { childOf, type Path, presetOf } from "./schema-walk.ts";

/**
 * Sets keys of a configuration that is not checked yet; the value that is given stays as it is.
 *
 * @param value what the file has
 * @param overrides `a.b=c` each, c in YAML; elements of lists by their index. Later ones win.
 * @throws ForgeError `config_invalid` with every override whose key does not exist, or whose value is no YAML
 */
export function applyOverrides(value: unknown, overrides: readonly string[]): unknown {
  const problems: Problem[] = [];
  let changed = value;
  for (const override of overrides) {
    const read = readOverride(override);
    if ("text" in read) problems.push(read);
    else changed = withValue(changed, schema, read.path, read.value);
  }
  refuseFor(problems, "--set");
  return changed;
}

function readOverride(
  override: string,
): Problem | { readonly path: Path; readonly value: unknown } {
  const at = override.indexOf("=");
  const path = override.slice(0, Math.max(0, at)).trim().split(".");
  if (at < 0 || path.includes("")) {
    return {
      path: [],
      text: `expected a key and a value, as in rollout.groupSize=16, got ${override}`,
    };
  }
  const unknown = firstUnknown(path);
  if (unknown) return unknownKey(unknown);
  try {
    return { path, value: parse(override.slice(at + 1), { logLevel: "error" }) };
  } catch (error) {
    const [reason] = String((error as Error).message).split("\n");
    return { path, text: `the value is no YAML: ${reason}` };
  }
}

/** The path up to its first key that does not exist. */
function firstUnknown(path: readonly string[]): Path | undefined {
  let at: z.ZodType | undefined = schema;
  for (const [i, key] of path.entries()) {
    at = key === "__proto__" ? undefined : childOf(at, key);
    if (!at) return path.slice(0, i + 1);
  }
  return undefined;
}

/** A copy of a value with another one at a path; what is not on the way is shared. */
function withValue(value: unknown, of: z.ZodType, path: Path, set: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return set;
  const whole = value ?? presetOf(of) ?? {};
  // Neither a section nor a list: left as it is for the check to find.
  if (typeof whole !== "object") return whole;
  const child = childOf(of, first) as z.ZodType;
  const inside = withValue((whole as Record<PropertyKey, unknown>)[first], child, rest, set);
  if (!Array.isArray(whole)) return { ...whole, [first]: inside };
  // Behind the last element, where a large index would otherwise leave a hole as large.
  return whole.toSpliced(Number(first), 1, inside);
}
