/** Variables of launchers, read. */
import { ForgeError } from "../../../engine/error.ts";
import type { Environment, Setting } from "./launch.ts";

/** The first of these variables that is set. */
export function text(env: Environment, ...names: readonly string[]): Setting<string> | undefined {
  const source = names.find((name) => env[name] !== undefined);
  return source === undefined ? undefined : { value: String(env[source]), source };
}

/** As {@link text}; a whole number from 0. Errors: `config_invalid`. */
export function count(env: Environment, ...names: readonly string[]): Setting<number> | undefined {
  const found = text(env, ...names);
  if (found === undefined) return undefined;
  const { value, source } = found;
  if (/^\d{1,10}$/.test(value)) return { value: Number(value), source };
  throw new ForgeError({
    code: "config_invalid",
    what: `${source} is no count.`,
    got: JSON.stringify(value.slice(0, 80)),
    why: "launchers set it to a whole number from 0",
    fix: `unset ${source}, or start the node with its launcher`,
  });
}

/** The world that `started` nodes make: more than half of them are the quorum that a cluster goes on with. */
export function worldOf({ value, source }: Setting<number>): Setting<string> | undefined {
  if (value === 0) return undefined;
  return { value: `${Math.floor(value / 2) + 1}:${value}`, source };
}
