/** Text to token ids and back, as a tokenizer.json says. */
import * as library from "@huggingface/tokenizers";
import { ForgeError } from "../error.ts";
import { type DecodeOptions, Detokenizer, type Pieces } from "./detokenizer.ts";
import { type DecoderJson, PieceDecoder } from "./piece-decoder.ts";
import {
  parseObject,
  parseTokenizer,
  type TokenizerJson,
  tokenizerInvalid,
} from "./tokenizer-json.ts";

/** The files of a tokenizer, as objects or as their text. */
export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: object | string;
  /** tokenizer_config.json, which names the tokens with a role. */
  readonly config?: object | string;
  /** What errors call the tokenizer's file. Default "tokenizer.json". */
  readonly name?: string;
}

/** How text becomes ids. */
export interface EncodeOptions {
  /** Put the tokens around the text that the tokenizer's post-processor adds, such as the one that begins a text.
   * Default true. Off for what a chat template rendered: it writes them itself. */
  readonly addSpecialTokens?: boolean;
}

interface Encoding {
  readonly ids: (number | undefined)[];
  readonly tokens: readonly string[];
}

/** What is used of the library, whose own declarations do not resolve in Node's module mode. */
interface Library {
  encode(text: string, options: { readonly add_special_tokens: boolean }): Encoding;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

const Library = library.Tokenizer as unknown as new (tokenizer: object, config: object) => Library;

/** Roles that a tokenizer_config.json gives to special tokens. */
const ROLES = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
];

/**
 * A tokenizer as Hugging Face's tokenizers understands its files. Never changes after it was made.
 *
 * Decoding gives what the pieces say: no spaces are "cleaned up", whatever tokenizer_config.json wants. Encoding may
 * normalize (Qwen: NFC), so that `decode(encode(text))` is not always `text`: ids are the record of a text.
 */
export class Tokenizer implements Pieces {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The token that begins a text, if the files name one. */
  readonly bosId: number | undefined;
  /** The token that ends a text. */
  readonly eosId: number | undefined;
  /** The token that fills up a batch. */
  readonly padId: number | undefined;
  /** Ids of the special tokens, in ascending order. */
  readonly specialIds: readonly number[];

  readonly #library: Library;
  readonly #decoder: DecoderJson | null;
  readonly #name: string;
  readonly #added: ReadonlySet<number>;
  readonly #special: ReadonlySet<number>;

  private constructor(
    library: Library,
    json: TokenizerJson,
    config: Record<string, unknown>,
    name: string,
  ) {
    this.#library = library;
    this.#decoder = json.decoder;
    this.#name = name;
    this.#added = new Set(json.added_tokens.map((token) => token.id));
    const role = (key: string): number | undefined => this.#idNamedBy(config[key]);
    const extra = [config["additional_special_tokens"], config["extra_special_tokens"]].flat();
    const named = [...ROLES.map(role), ...extra.map((token) => this.#idNamedBy(token))];
    const flagged = json.added_tokens.filter((token) => token.special).map((token) => token.id);
    const ids = [...flagged, ...named.filter((id) => id !== undefined)];
    this.#special = new Set(ids.sort((a, b) => a - b));
    this.specialIds = [...this.#special];
    this.bosId = role("bos_token");
    this.eosId = role("eos_token");
    this.padId = role("pad_token");
    this.vocabSize = largestId(json) + 1;
  }

  /**
   * A tokenizer from the contents of its files.
   *
   * Errors    `tokenizer_invalid`, naming the file.
   */
  static from({ tokenizer, config = {}, name = "tokenizer.json" }: TokenizerFiles): Tokenizer {
    const json = parseTokenizer(tokenizer, name);
    const settings = parseObject(config, "tokenizer_config.json");
    try {
      const library = new Library(json, { eos_token: contentOf(settings["eos_token"]) });
      const made = new Tokenizer(library, json, settings, name);
      made.decoder();
      made.#checkTemplate();
      made.#encoded("a", true);
      return made;
    } catch (cause) {
      if (cause instanceof ForgeError) throw cause;
      throw tokenizerInvalid(name, "cannot be used", String(cause), cause);
    }
  }

  /**
   * The ids of a text. Added tokens in it, special ones too, become their single ids.
   *
   * Errors    `argument_invalid` for a character that has no token, where the tokenizer has none for unknown ones.
   */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    const { ids } = this.#encoded(text, addSpecialTokens);
    if (ids.includes(undefined)) throw this.#unknown(text);
    return ids as number[];
  }

  /**
   * The text of ids; see {@link Detokenizer} for a text that grows.
   *
   * Errors    `index_out_of_range` for an id that is no natural number.
   */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const text = new Detokenizer(this, options);
    let decoded = "";
    for (const id of ids) decoded += text.push(id);
    return decoded + text.flush();
  }

  /** The id of a token, by its exact piece. */
  idOf(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  /** The piece of an id, as the vocabulary spells it. */
  tokenOf(id: number): string | undefined {
    return this.#library.id_to_token(id);
  }

  /** Whether an id is one of the added tokens, which stand for themselves in text. */
  isAdded(id: number): boolean {
    return this.#added.has(id);
  }

  /** Whether an id is special. */
  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  /** What turns pieces into text, at the beginning of one. */
  decoder(): PieceDecoder {
    return new PieceDecoder(this.#decoder);
  }

  /** Errors: `tokenizer_invalid` where a token that is put around texts is missing. */
  #checkTemplate(): void {
    const { ids, tokens } = this.#encoded("", true);
    const missing = ids.indexOf(undefined);
    if (missing < 0) return;
    throw tokenizerInvalid(this.#name, "uses a token that it does not have", tokens[missing]);
  }

  #unknown(text: string): ForgeError {
    const has = (part: string): boolean => !this.#encoded(part, false).ids.includes(undefined);
    const character = [...text].find((each) => !has(each));
    return new ForgeError({
      code: "argument_invalid",
      what: "a text cannot be encoded: the tokenizer has no token for a character of it.",
      got: JSON.stringify(character ?? text.slice(0, 100)),
      why: `${this.#name} has no token for unknown characters`,
      fix: "use its characters, or a tokenizer that has them all, such as one of bytes",
    });
  }

  #encoded(text: string, addSpecialTokens: boolean): Encoding {
    try {
      return this.#library.encode(text, { add_special_tokens: addSpecialTokens });
    } catch (cause) {
      throw tokenizerInvalid(this.#name, "cannot encode a text", String(cause), cause);
    }
  }

  /** A special token is named by its text, or by an object that has it. */
  #idNamedBy(token: unknown): number | undefined {
    const content = contentOf(token);
    return content === undefined ? undefined : this.idOf(content);
  }
}

/**
 * Holds a tokenizer against a model's vocabulary, which may be larger (it is often padded) but not smaller.
 *
 * Errors    `tokenizer_mismatch` when a token's id is beyond the model's vocabulary.
 */
export function checkVocabulary(tokenizer: Tokenizer, vocabSize: number): void {
  if (tokenizer.vocabSize <= vocabSize) return;
  const id = tokenizer.vocabSize - 1;
  throw new ForgeError({
    code: "tokenizer_mismatch",
    what: "the tokenizer has tokens that the model has not.",
    got: `${JSON.stringify(tokenizer.tokenOf(id))} is ${id}, the model ends at ${vocabSize - 1}`,
    fix: "use the tokenizer that belongs to the checkpoint",
  });
}

function contentOf(token: unknown): string | undefined {
  const content =
    typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return typeof content === "string" ? content : undefined;
}

function largestId({ model, added_tokens }: TokenizerJson): number {
  let largest = Array.isArray(model.vocab) ? model.vocab.length - 1 : 0;
  if (!Array.isArray(model.vocab)) {
    for (const id of Object.values(model.vocab)) largest = Math.max(largest, id);
  }
  for (const { id } of added_tokens) largest = Math.max(largest, id);
  return largest;
}
