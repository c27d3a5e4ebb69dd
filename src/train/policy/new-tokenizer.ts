/** Tokenizers of models that are made anew, and the files that such a model is saved with. */
import {
  byteTokenizer,
  characterTokenizer,
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

/** What a new tokenizer is made of. */
export type NewTokenizerConfig = Exclude<TokenizerConfig, { readonly kind: "directory" }>;

/** The tokenizer that a configuration asks for. Errors: `argument_invalid` for an alphabet with a character twice. */
export function newTokenizer(config: NewTokenizerConfig): NewTokenizer {
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
