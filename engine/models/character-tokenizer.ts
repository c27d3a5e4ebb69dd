/** Tokenizers of characters, for models made from scratch on a small alphabet. */
import { ForgeError } from "../error.ts";
import { addedTokens } from "./byte-tokenizer.ts";
import type { TokenizerJson } from "./tokenizer-json.ts";

/** Options of {@link characterTokenizer}. */
export interface CharacterTokenizerOptions {
  /** Tokens beside the characters. Default `<pad>` and `<eos>`; tokenizer_config.json says which of them does what. */
  readonly specialTokens?: readonly string[];
}

/** Named by the files and never there: a character without token is an error, here and in Python, and never left out. */
const UNKNOWN = "<unk>";

/**
 * A tokenizer.json whose tokens are the characters of an alphabet, id = place in it, and behind them the special tokens. A
 * character is a code point; one outside the alphabet cannot be encoded.
 *
 * Errors    `argument_invalid` for an alphabet that is empty or has a character twice or half of one, and for special tokens
 *           that are empty, a character of the alphabet, or given twice.
 */
export function characterTokenizer(
  alphabet: string,
  { specialTokens = ["<pad>", "<eos>"] }: CharacterTokenizerOptions = {},
): TokenizerJson {
  const characters = [...alphabet];
  check(characters, specialTokens);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(specialTokens, characters.length),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: UNKNOWN,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(characters.map((character, id) => [character, id])),
      merges: [],
    },
  };
}

function check(characters: readonly string[], specialTokens: readonly string[]): void {
  if (characters.length === 0) throw invalid("the alphabet has no characters", '""');
  const seen = new Set<string>();
  for (const character of characters) {
    if (/\p{Surrogate}/u.test(character))
      throw invalid("the alphabet has half a character", JSON.stringify(character));
    if (seen.has(character))
      throw invalid("the alphabet has a character twice", JSON.stringify(character));
    seen.add(character);
  }
  for (const token of ["", UNKNOWN]) seen.add(token);
  for (const token of specialTokens) {
    if (seen.has(token)) {
      const why = `a special token is empty, ${UNKNOWN}, a character of the alphabet, or given twice`;
      throw invalid(why, JSON.stringify(token));
    }
    seen.add(token);
  }
}

function invalid(what: string, got: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `characterTokenizer: ${what}.`,
    got,
    fix: "give each character once, and special tokens names of their own, such as <eos>",
  });
}
