/** Configurations in files. */
import { readFile } from "node:fs/promises";
import { basename, dirname, extname, resolve } from "node:path";
import { LineCounter, type Node, parseDocument } from "yaml";
import { ForgeError } from "../../../engine/error.ts";
import { configWarnings } from "./cross-checks.ts";
import { importModule } from "./import-module.ts";
import { applyOverrides } from "./overrides.ts";
import { parseConfig } from "./parse.ts";
import { dotted } from "./problems.ts";
import type { Path } from "./schema-walk.ts";
import type { TrainConfig } from "./types.ts";

/** A configuration and where it is from. */
export interface LoadedConfig {
  readonly config: TrainConfig;
  /** Absolute path of the file. */
  readonly file: string;
  /** Its folder, from which paths in it are meant. */
  readonly directory: string;
  /** What is allowed and seldom meant: a sentence each. */
  readonly warnings: readonly string[];
}

/** Options of {@link loadConfig}. */
export interface LoadConfigOptions {
  /** `a.b=c` each, as of `--set`; see {@link applyOverrides}. */
  readonly overrides?: readonly string[];
}

/** What a file has, and where its keys stand. */
interface Source {
  readonly value: unknown;
  readonly locate?: (path: Path) => string | undefined;
}

const MODULES = [".ts", ".mts", ".cts", ".js", ".mjs", ".cjs"];
const TEXTS = [".yaml", ".yml", ".json"];

/**
 * Reads a configuration: YAML, JSON, or a module in TypeScript or JavaScript whose default export it is.
 *
 * @param path from the working directory
 * @throws ForgeError `config_invalid` for a file that is not there or not to be read, and as {@link parseConfig}
 */
export async function loadConfig(
  path: string,
  { overrides = [] }: LoadConfigOptions = {},
): Promise<LoadedConfig> {
  const file = resolve(path);
  const extension = extname(file).toLowerCase();
  const { value, locate } = MODULES.includes(extension)
    ? await readModule(file)
    : await readText(file, extension);
  const config = parseConfig(applyOverrides(value, overrides), {
    // train.config.ts is "train"
    name: basename(file).replace(/(\.config)?\.[^.]+$/, "") || "run",
    source: path,
    locate: (key) => (isSet(key, overrides) ? "by --set" : locate?.(key)),
  });
  return { config, file, directory: dirname(file), warnings: configWarnings(config) };
}

function isSet(path: Path, overrides: readonly string[]): boolean {
  return overrides.some((override) => override.trim().startsWith(`${dotted(path)}=`));
}

async function readModule(file: string): Promise<Source> {
  await readBytes(file);
  const exports = await importModule(file);
  if ("default" in exports) return { value: exports["default"] };
  throw new ForgeError({
    code: "config_invalid",
    what: `${file} has no default export.`,
    got: `exports ${Object.keys(exports).join(", ") || "nothing"}`,
    fix: "write: export default defineConfig({ … })",
  });
}

async function readText(file: string, extension: string): Promise<Source> {
  if (!TEXTS.includes(extension)) {
    throw new ForgeError({
      code: "config_invalid",
      what: `${file} is no configuration.`,
      got: extension === "" ? "a name without an extension" : extension,
      fix: `give a file whose name ends with ${[...TEXTS, ...MODULES].join(", ")}`,
    });
  }
  const text = (await readBytes(file)).toString("utf8");
  // JSON is YAML, and YAML's reader says where a mistake is.
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, logLevel: "silent" });
  const locate = (path: Path): string | undefined => {
    const { range } = Object(document.getIn(path, true)) as Partial<Node>;
    return range ? `line ${lines.linePos(range[0]).line}` : undefined;
  };
  try {
    for (const error of document.errors) throw error;
    // beyond syntax, an alias may name no anchor
    return { value: document.toJS(), locate };
  } catch (error) {
    throw new ForgeError({
      code: "config_invalid",
      what: `${file} is no ${extension === ".json" ? "JSON" : "YAML"}.`,
      // the message has line and column, and a picture of the place below them
      got: String((error as Error).message).split("\n")[0] ?? "",
      fix: "correct it there",
      cause: error,
    });
  }
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new ForgeError({
      code: "config_invalid",
      what: "the configuration cannot be read.",
      got: error instanceof Error ? error.message : String(error),
      fix: "give the path of a file that is there",
      cause: error,
    });
  }
}
