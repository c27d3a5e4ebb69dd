/** Tokenizers of models that are made anew, and the files that such a model is saved with. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  byteTokenizer,
  characterTokenizer,
  ForgeError,
  Tokenizer,
  type TokenizerJson,
} from "../../../engine/index.ts";
import { PLAIN_TEMPLATE, PLAIN_TOKENS } from "../../agent/format/plain.ts";
import type { SmallFiles } from "../../models/save-files.ts";
import type { TokenizerConfig } from "../config/types.ts";

/** A tokenizer, and what a model directory holds of it. */
export interface NewTokenizer {
  readonly tokenizer: Tokenizer;
  readonly files: SmallFiles;
}

/** Behind the bytes or characters: what fills up a batch, and what ends an answer. */
const [PAD, EOS] = ["<pad>", "<eos>"] as const;

/** What of a tokenizer may lie in a directory. */
const FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];

/**
 * The tokenizer that a configuration asks for.
 *
 * @param from where a relative directory is meant from
 *
 * Errors    `argument_invalid` for an alphabet with a character twice; `model_not_found` for a directory without
 *           tokenizer.json; `tokenizer_invalid`.
 */
export function newTokenizer(config: TokenizerConfig, from: string): NewTokenizer {
  if (config.kind === "directory") return readFrom(resolve(from, config.directory));
  const { chat = false } = config;
  const specialTokens = [PAD, EOS, ...(chat ? PLAIN_TOKENS : [])];
  const json =
    config.kind === "bytes"
      ? byteTokenizer({ specialTokens })
      : characterTokenizer(config.alphabet, { specialTokens });
  return madeOf(json, chat);
}

function madeOf(json: TokenizerJson, chat: boolean): NewTokenizer {
  const config = {
    // other classes of Python's library build a tokenizer of their own
    tokenizer_class: "PreTrainedTokenizerFast",
    ...{ pad_token: PAD, eos_token: EOS, clean_up_tokenization_spaces: false },
  };
  const tokenizer = Tokenizer.from({ tokenizer: json, config });
  const { padId, eosId } = tokenizer;
  const files = {
    "tokenizer.json": json,
    "tokenizer_config.json": config,
    // sampled as it was trained: without this, Hugging Face's generate takes the most probable tokens
    "generation_config.json": {
      ...{ do_sample: true, temperature: 1, top_k: 0 },
      ...{ eos_token_id: eosId, pad_token_id: padId },
    },
    ...(chat && { "chat_template.jinja": PLAIN_TEMPLATE }),
  };
  return { tokenizer, files };
}

function readFrom(directory: string): NewTokenizer {
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
