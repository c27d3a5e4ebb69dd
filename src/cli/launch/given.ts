/** Settings by flags and variables. */
import { ForgeError } from "../../../engine/error.ts";
import { nearest } from "../../train/config/nearest.ts";
import type { Environment, Setting } from "./launch.ts";
import type { Rule } from "./rule.ts";

/** What is given on the command line and in the environment, in this order of precedence. */
export class Given {
  readonly #flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly #env: Environment;

  /** @param flags by the names of commander: `ringThreads` is `--ring-threads` */
  constructor(flags: Readonly<Record<string, string | boolean | undefined>>, env: Environment) {
    this.#flags = flags;
    this.#env = env;
  }

  /**
   * The value of `name` (`ringThreads`) by the flag, the variable (`FORGE_RING_THREADS`), a launcher's hint or the default.
   *
   * Errors    `config_invalid` for text that the rule does not allow, wherever it is from.
   */
  read<T, const D = T>(
    name: string,
    rule: Rule<T>,
    fallback: D,
    hint?: Setting<string>,
  ): Setting<T | D> {
    const text = this.#text(name) ?? hint;
    if (text === undefined) return { value: fallback, source: "default" };
    refuseSecrets(text);
    const value = rule.parse(text.value);
    if (value === undefined) throw refusal(text, rule);
    return { value, source: text.source };
  }

  /** Variables that nearly have a name that means something: `FORGE_WROLD`. */
  *slips(names: readonly string[]): Generator<{ readonly got: string; readonly meant: string }> {
    const known = names.map(variableOf);
    for (const got of Object.keys(this.#env)) {
      if (!got.startsWith("FORGE_") || known.includes(got)) continue;
      const meant = nearest(got, known);
      if (meant !== undefined) yield { got, meant };
    }
  }

  #text(name: string): Setting<string> | undefined {
    const flag = this.#flags[name];
    if (flag !== undefined) return { value: String(flag), source: flagOf(name) };
    const variable = variableOf(name);
    const value = this.#env[variable];
    // an empty variable is how manifests and scripts leave one out
    return value ? { value, source: variable } : undefined;
  }
}

/** `ringThreads` as a flag. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `ringThreads` as a variable. */
export function variableOf(name: string): string {
  return `FORGE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function refusal(
  { value, source }: Setting<string>,
  { allowed, words = [] }: Rule<unknown>,
): ForgeError {
  const meant = nearest(value, words);
  return new ForgeError({
    code: "config_invalid",
    what: `${source} cannot be this.`,
    got: JSON.stringify(value.slice(0, 80)),
    why: `it is ${allowed}`,
    fix: meant === undefined ? `correct ${source}` : `did you mean ${meant}?`,
  });
}

/** A token is 32 bytes of hex; in a URL one goes before an @, into the path or into the query. */
const SECRET = /^(rollout:)?[0-9a-f]{64}$|:.*@|:\/\/[^,]*[?#]|:\/\/[^/,]+\/[^,]/i;

function refuseSecrets({ value, source }: Setting<string>): void {
  if (!SECRET.test(value)) return;
  throw new ForgeError({
    code: "config_invalid",
    what: `${source} holds more than its value.`,
    got: "what may be a token, which is not shown",
    why: "command lines and addresses are read by other users, and end in logs",
    fix: "put the token into a file for its owner alone, and name the file by --token-file or FORGE_TOKEN_FILE",
  });
}
