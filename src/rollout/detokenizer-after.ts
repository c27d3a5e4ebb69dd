/** The text of tokens that go on behind others. */
import { type DecodeOptions, Detokenizer, type Tokenizer } from "../../engine/index.ts";

/** Tokens before a text that it is read behind: a character has four bytes at most, and each may be a token. */
const BEFORE = 8;

/**
 * A detokenizer for what follows `ids`. What a word is spelled like depends on what stands before it: many tokenizers drop
 * the space that begins a text.
 */
export function detokenizerAfter(
  ids: readonly number[],
  tokenizer: Tokenizer,
  options: DecodeOptions = {},
): Detokenizer {
  const detokenizer = new Detokenizer(tokenizer, options);
  for (const id of ids.slice(-BEFORE)) detokenizer.push(id);
  detokenizer.flush(); // a character that they leave open is not of what follows
  return detokenizer;
}
