/** Tokenizers that new models take from a directory. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ForgeError, Tokenizer } from "../../../engine/index.ts";
import type { NewTokenizer } from "./new-tokenizer.ts";

/** What of a tokenizer may lie in a directory. */
const FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];

/**
 * The tokenizer of a directory, and its files.
 *
 * Errors    `model_not_found` for a directory without tokenizer.json; `tokenizer_invalid`.
 */
export function readTokenizer(directory: string): NewTokenizer {
  const names = FILES.filter((name) => existsSync(join(directory, name)));
  const files = Object.fromEntries(
    names.map((name) => [name, readFileSync(join(directory, name), "utf8")]),
  );
  const { "tokenizer.json": tokenizer, "tokenizer_config.json": config } = files;
  if (tokenizer === undefined) {
    throw new ForgeError({
      code: "model_not_found",
      what: "there is no tokenizer here.",
      got: directory,
      why: "it has no tokenizer.json",
      fix: "pass a directory with a tokenizer.json",
    });
  }
  return { tokenizer: Tokenizer.from({ tokenizer, ...(config && { config }) }), files };
}
