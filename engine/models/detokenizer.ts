/** Text from token ids as they come. Text is for people and tools; ids are the record. */
import { ForgeError } from "../error.ts";
import type { PieceDecoder } from "./piece-decoder.ts";

/** What a {@link Detokenizer} needs to know of its tokenizer. */
export interface Pieces {
  /** The piece of an id, or nothing for an id that the vocabulary does not use. */
  tokenOf(id: number): string | undefined;
  /** Whether an id is one of the added tokens, which stand for themselves. */
  isAdded(id: number): boolean;
  /** Whether an id is special. */
  isSpecial(id: number): boolean;
  /** A decoder at the beginning of a text. */
  decoder(): PieceDecoder;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

/**
 * Streams the text of token ids, at a cost per token that does not grow with the text.
 *
 * What `push` gave so far is final: it never ends within a character, and with `flush` at the end it adds up to
 * `tokenizer.decode` of all ids, whatever they are. Ids without a piece, such as the padding of a model's vocabulary,
 * have no text.
 */
export class Detokenizer {
  readonly #pieces: Pieces;
  readonly #decoder: PieceDecoder;
  readonly #skipSpecial: boolean;

  constructor(pieces: Pieces, { skipSpecialTokens = false }: DecodeOptions = {}) {
    this.#pieces = pieces;
    this.#decoder = pieces.decoder();
    this.#skipSpecial = skipSpecialTokens;
  }

  /**
   * The text that this token completes, often "" within a character.
   *
   * Errors    `index_out_of_range` for an id that is no natural number.
   */
  push(id: number): string {
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new ForgeError({
        code: "index_out_of_range",
        what: "a token id is no natural number.",
        got: String(id),
      });
    }
    const piece = this.#pieces.tokenOf(id);
    if (piece === undefined || (this.#skipSpecial && this.#pieces.isSpecial(id))) return "";
    return this.#decoder.push(piece, this.#pieces.isAdded(id));
  }

  /** The rest of the text. Bytes that never became a character are U+FFFD. */
  flush(): string {
    return this.#decoder.flush();
  }
}
