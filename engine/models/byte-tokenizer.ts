/** Tokenizers of bytes, for models made from scratch. */
import { ForgeError } from "../error.ts";
import { BYTE_SYMBOLS } from "./byte-symbols.ts";
import type { DecoderJson } from "./piece-decoder.ts";
import type { AddedTokenJson, ComponentJson, TokenizerJson } from "./tokenizer-json.ts";

/** Options of {@link byteTokenizer}. */
export interface ByteTokenizerOptions {
  /** Tokens beside the bytes, such as the one that ends a text. */
  readonly specialTokens?: readonly string[];
}

/**
 * A tokenizer.json whose tokens are the 256 bytes, id = byte, and behind them the special tokens. Every text has ids,
 * and every text survives them.
 *
 * Errors    `argument_invalid` for special tokens that are empty or given twice.
 */
export function byteTokenizer({ specialTokens = [] }: ByteTokenizerOptions = {}): TokenizerJson {
  checkSpecialTokens(specialTokens);
  const vocab = Object.fromEntries(BYTE_SYMBOLS.map((symbol, byte) => [symbol, byte]));
  return byteLevelTokenizer({
    vocab,
    merges: [],
    specialTokens,
    firstSpecial: BYTE_SYMBOLS.length,
    split: BYTES,
  });
}

/** Text to the symbols of its bytes. */
export const BYTES: ComponentJson = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: false,
  use_regex: false,
};

/** As Hugging Face's tokenizers writes it; to decoding the options mean nothing. */
const BYTES_TO_TEXT: DecoderJson = {
  type: "ByteLevel",
  add_prefix_space: true,
  trim_offsets: true,
  use_regex: true,
};

/** A byte-level BPE tokenizer.json; special tokens get ids from `firstSpecial` on. */
export function byteLevelTokenizer(parts: {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
  readonly specialTokens: readonly string[];
  readonly firstSpecial: number;
  readonly split: ComponentJson;
}): TokenizerJson {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(parts.specialTokens, parts.firstSpecial),
    normalizer: null,
    pre_tokenizer: parts.split,
    post_processor: null,
    decoder: BYTES_TO_TEXT,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: parts.vocab,
      merges: parts.merges,
    },
  };
}

/** Errors    `argument_invalid` for a special token that is empty, given twice, or what stands for a byte. */
export function checkSpecialTokens(contents: readonly string[]): void {
  const seen = new Set(["", ...BYTE_SYMBOLS]);
  for (const content of contents) {
    if (seen.has(content)) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "a special token is empty, given twice, or what stands for a byte.",
        got: JSON.stringify(content),
        fix: "give it a name that no text has, such as <|end|>",
      });
    }
    seen.add(content);
  }
}

/** Special tokens, with ids from `first` on. */
export function addedTokens(contents: readonly string[], first: number): AddedTokenJson[] {
  return contents.map((content, at) => ({
    id: first + at,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
}
