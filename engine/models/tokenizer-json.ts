/**
 * The parts of a tokenizer.json that matter here, and a check of it before anything is built from it.
 *
 * The library that tokenizes trusts its input: it drops text at an unknown pattern, never ends at a length of zero and
 * takes an unsupported split for another one. What it would get wrong is refused here.
 */
import { ForgeError } from "../error.ts";
import type { DecoderJson } from "./piece-decoder.ts";

/** A token that is found in text before anything else happens to it. */
export interface AddedTokenJson {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
  readonly normalized?: boolean;
  readonly single_word?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
}

/** A normalizer, pre-tokenizer or post-processor. */
export interface ComponentJson {
  readonly type: string;
  readonly [option: string]: unknown;
}

/** The pieces: BPE and WordPiece map them to ids, Unigram lists them with scores. */
export interface ModelJson {
  readonly type: string;
  readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  readonly merges?: readonly (string | readonly [string, string])[];
  readonly [option: string]: unknown;
}

/** A tokenizer.json, as Hugging Face's tokenizers writes and reads it. */
export interface TokenizerJson {
  readonly version?: string;
  readonly truncation?: unknown;
  readonly padding?: unknown;
  readonly added_tokens: readonly AddedTokenJson[];
  readonly normalizer: ComponentJson | null;
  readonly pre_tokenizer: ComponentJson | null;
  readonly post_processor: ComponentJson | null;
  readonly decoder: DecoderJson | null;
  readonly model: ModelJson;
}

/** Ids are array indices, and no vocabulary comes near this. */
const MAX_ID = 2 ** 24;

/**
 * A file's JSON as an object.
 *
 * Errors    `tokenizer_invalid`.
 */
export function parseObject(json: object | string, file: string): Record<string, unknown> {
  let value: unknown = json;
  if (typeof json === "string") {
    try {
      value = JSON.parse(json);
    } catch (cause) {
      throw tokenizerInvalid(file, "is no JSON", String(cause), cause);
    }
  }
  if (!isObject(value)) throw tokenizerInvalid(file, "is no JSON object", show(value));
  return value;
}

/**
 * The tokenizer in a file, with what old files leave out.
 *
 * Errors    `tokenizer_invalid`.
 */
export function parseTokenizer(json: object | string, file: string): TokenizerJson {
  const value = parseObject(json, file);
  const added = checkAddedTokens(value["added_tokens"] ?? [], file);
  const model = checkModel(value["model"], file);
  const component = (name: string): ComponentJson | null => checkComponent(value[name], name, file);
  const checked = {
    ...value,
    added_tokens: added,
    normalizer: component("normalizer"),
    pre_tokenizer: component("pre_tokenizer"),
    post_processor: component("post_processor"),
    decoder: component("decoder"),
    model,
  };
  checkSplits(checked, file);
  return checked;
}

/** The error of a tokenizer's file. */
export function tokenizerInvalid(
  file: string,
  problem: string,
  got?: string,
  cause?: unknown,
): ForgeError {
  return new ForgeError({
    code: "tokenizer_invalid",
    what: `${file} ${problem}.`,
    ...(got !== undefined && { got }),
    fix: "load it with Hugging Face's tokenizers: if that fails too, the file is damaged",
    cause,
  });
}

function checkAddedTokens(value: unknown, file: string): AddedTokenJson[] {
  if (!Array.isArray(value))
    throw tokenizerInvalid(file, "has no list of added_tokens", show(value));
  for (const token of value) {
    const valid = isObject(token) && isId(token["id"]) && typeof token["content"] === "string";
    if (!valid || token["content"] === "") {
      throw tokenizerInvalid(file, "has an added token without id or content", show(token));
    }
  }
  return value;
}

function checkModel(value: unknown, file: string): ModelJson {
  if (!isObject(value)) throw tokenizerInvalid(file, "has no model", show(value));
  const { vocab, merges } = value;
  const type = value["type"] ?? (merges ? "BPE" : Array.isArray(vocab) ? "Unigram" : undefined);
  if (type === "Unigram") checkScores(value, file);
  else if (type === "BPE" || type === "WordPiece") checkVocab(vocab, file);
  else {
    throw tokenizerInvalid(
      file,
      "has a model that is not supported: BPE, Unigram and WordPiece are",
      show(type),
    );
  }
  if (type === "BPE") checkMerges(value, file);
  return { ...value, type } as ModelJson;
}

function checkVocab(vocab: unknown, file: string): void {
  if (!isObject(vocab)) throw tokenizerInvalid(file, "has no vocabulary: model.vocab", show(vocab));
  const taken = new Set<number>();
  for (const piece of Object.keys(vocab)) {
    const id = vocab[piece];
    if (!isId(id)) throw tokenizerInvalid(file, `gives ${show(piece)} no id`, show(id));
    if (taken.has(id))
      throw tokenizerInvalid(file, `gives ${show(piece)} the id of another`, show(id));
    taken.add(id);
  }
  if (taken.size === 0) throw tokenizerInvalid(file, "has an empty vocabulary");
}

function checkScores({ vocab, unk_id }: Record<string, unknown>, file: string): void {
  if (!Array.isArray(vocab) || vocab.length === 0) {
    throw tokenizerInvalid(file, "has no vocabulary: model.vocab", show(vocab));
  }
  for (const entry of vocab) {
    const [piece, score] = Array.isArray(entry) ? entry : [];
    if (typeof piece !== "string" || typeof score !== "number" || !Number.isFinite(score)) {
      throw tokenizerInvalid(file, "has a piece without text or score", show(entry));
    }
  }
  if (!isId(unk_id) || unk_id >= vocab.length) {
    throw tokenizerInvalid(file, "has no unknown token: model.unk_id", show(unk_id));
  }
}

function checkMerges(model: Record<string, unknown>, file: string): void {
  const { merges, continuing_subword_prefix: prefix } = model;
  const vocab = model["vocab"] as Record<string, number>;
  if (prefix)
    throw tokenizerInvalid(file, "marks pieces within words, which is not supported", show(prefix));
  if (!Array.isArray(merges)) throw tokenizerInvalid(file, "has no list of merges", show(merges));
  const split = typeof merges[0] === "string" ? atSpace : asPair;
  for (const merge of merges) {
    const pair = split(merge);
    if (!pair) throw tokenizerInvalid(file, "has a merge that is no pair of pieces", show(merge));
    if (!Object.hasOwn(vocab, pair[0] + pair[1])) {
      throw tokenizerInvalid(file, "has a merge whose piece is not in the vocabulary", show(merge));
    }
  }
}

type Pair = readonly [left: string, right: string];

function atSpace(merge: unknown): Pair | undefined {
  if (typeof merge !== "string") return undefined;
  const at = merge.indexOf(" ");
  const isPair = at > 0 && at < merge.length - 1 && merge.indexOf(" ", at + 1) < 0;
  return isPair ? [merge.slice(0, at), merge.slice(at + 1)] : undefined;
}

function asPair(merge: unknown): Pair | undefined {
  const isPair = Array.isArray(merge) && merge.length === 2;
  return isPair && typeof merge[0] === "string" && typeof merge[1] === "string"
    ? (merge as unknown as Pair)
    : undefined;
}

/** A component and those within it: each has a type, and its pattern is a text or a regular expression. */
function checkComponent(value: unknown, name: string, file: string): ComponentJson | null {
  if (value === null || value === undefined) return null;
  if (!isObject(value) || typeof value["type"] !== "string") {
    throw tokenizerInvalid(file, `has a ${name} without type`, show(value));
  }
  for (const list of ["normalizers", "pretokenizers", "processors", "decoders"]) {
    const inner = value[list];
    if (inner === undefined) continue;
    if (!Array.isArray(inner))
      throw tokenizerInvalid(file, `has a ${name} without its ${list}`, show(inner));
    for (const each of inner) checkComponent(each, name, file);
  }
  const pattern = value["pattern"];
  const valid =
    isObject(pattern) && [pattern["String"], pattern["Regex"]].some((p) => typeof p === "string");
  if ((value["type"] === "Split" || value["type"] === "Replace") && !valid) {
    throw tokenizerInvalid(file, `has a ${name} without pattern`, show(value));
  }
  if (value["type"] === "FixedLength" && !(isId(value["length"]) && value["length"] > 0)) {
    throw tokenizerInvalid(file, `has a ${name} without length`, show(value));
  }
  return value as unknown as ComponentJson;
}

/** Splits keep or remove what they match; other behaviours only where the normalizer leaves nothing to match. */
function checkSplits({ normalizer, pre_tokenizer }: TokenizerJson, file: string): void {
  const replaced = flatten(normalizer, "normalizers")
    .filter(({ type }) => type === "Replace")
    .map(({ pattern }) => (pattern as { readonly String?: string }).String);
  for (const split of flatten(pre_tokenizer, "pretokenizers")) {
    if (split.type !== "Split") continue;
    const { String: text } = split["pattern"] as { readonly String?: string };
    const known = split["behavior"] === "Isolated" || split["behavior"] === "Removed";
    if (!known && (text === undefined || !replaced.includes(text))) {
      throw tokenizerInvalid(file, "splits text in a way that is not supported", show(split));
    }
  }
}

function flatten(component: ComponentJson | null, list: string): ComponentJson[] {
  if (!component) return [];
  const inner = component[list] as readonly ComponentJson[] | undefined;
  return inner ? inner.flatMap((each) => flatten(each, list)) : [component];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MAX_ID;
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 120);
}
