/** Learns byte-level BPE vocabularies from text. */
import { ForgeError } from "../error.ts";
import { BYTE_SYMBOLS } from "./byte-symbols.ts";
import { BYTES, byteLevelTokenizer, checkSpecialTokens } from "./byte-tokenizer.ts";
import type { TokenizerJson } from "./tokenizer-json.ts";

/** Options of {@link trainBpe}. */
export interface TrainBpeOptions {
  /** Tokens in all: special tokens, 256 bytes, merges. Fewer if the text has no more pairs. */
  readonly vocabSize: number;
  /** Tokens that stand for no text. They get the first ids. */
  readonly specialTokens?: readonly string[];
  /** Pairs seen less often are not merged. Default 2. */
  readonly minFrequency?: number;
}

/** How GPT-2 cuts text into words, in the notation of tokenizer.json. */
const WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The same for JavaScript, whose \s is not quite Unicode's white space. */
const WORD = new RegExp(
  WORDS.replaceAll("[^\\s", "[^\\p{White_Space}")
    .replaceAll("\\s", "\\p{White_Space}")
    .replaceAll("\\S", "\\P{White_Space}"),
  "gu",
);

/**
 * Learns merges: the pair of neighbouring tokens that is most frequent within words becomes a token, until there are
 * enough. Of equally frequent pairs the one with the smaller ids goes first, so the result depends on nothing but the
 * text; Hugging Face's BpeTrainer, given the bytes as alphabet, learns the same.
 *
 * Returns   a tokenizer.json. Ids: special tokens, the bytes in the order of their symbols, merges as learned.
 * Errors    `argument_invalid` for special tokens as in `byteTokenizer`, a vocabulary without room for them and the
 *           bytes, or a frequency below 1.
 * Source    Sennrich et al. 2016, arXiv:1508.07909
 */
export function trainBpe(texts: Iterable<string>, options: TrainBpeOptions): TokenizerJson {
  const { vocabSize, specialTokens = [], minFrequency = 2 } = options;
  checkSpecialTokens(specialTokens);
  const smallest = specialTokens.length + BYTE_SYMBOLS.length;
  if (!Number.isSafeInteger(vocabSize) || vocabSize < smallest || !(minFrequency >= 1)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "trainBpe: the vocabulary has no room for the bytes, or the frequency is below 1.",
      got: `vocabSize ${vocabSize}, minFrequency ${minFrequency}`,
      fix: `ask for at least ${smallest} tokens`,
    });
  }
  const pieces = [...specialTokens, ...[...BYTE_SYMBOLS].sort()];
  const idOf = new Map(pieces.map((piece, id) => [piece, id]));
  const byteIds = BYTE_SYMBOLS.map((symbol) => idOf.get(symbol) as number);
  const pairs = new PairCounts(countWords(texts, byteIds));
  const merges: [string, string][] = [];
  while (pieces.length < vocabSize) {
    const best = pairs.takeMostFrequent(minFrequency);
    if (!best) break;
    const merge = [pieces[best.left] as string, pieces[best.right] as string] as [string, string];
    const piece = merge.join("");
    // Two ways to spell a piece are one token: "a"+"bc" after "ab"+"c".
    const id = idOf.get(piece) ?? pieces.push(piece) - 1;
    idOf.set(piece, id);
    merges.push(merge);
    pairs.merge(best, id);
  }
  return byteLevelTokenizer({
    vocab: Object.fromEntries(idOf),
    merges,
    specialTokens,
    firstSpecial: 0,
    split: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: WORDS }, behavior: "Isolated", invert: false },
        BYTES,
      ],
    },
  });
}

/** A word as token ids, and how often it was seen. */
interface Word {
  ids: number[];
  readonly count: number;
}

function countWords(texts: Iterable<string>, byteIds: readonly number[]): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(WORD)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({
    ids: Array.from(encoder.encode(word), (byte) => byteIds[byte] as number),
    count,
  }));
}

/** Two tokens side by side, and how often they were at some time. */
interface Pair {
  readonly left: number;
  readonly right: number;
  readonly count: number;
}

/** More than any id: pairs are keyed by left · RADIX + right, exact in a double. */
const RADIX = 2 ** 24;

/** How often each pair stands in the words, kept up to date while pairs are merged. */
class PairCounts {
  readonly #words: readonly Word[];
  readonly #counts = new Map<number, number>();
  /** Indices of the words that a pair is or was in. */
  readonly #places = new Map<number, Set<number>>();
  /** A heap, best first. Entries with an outdated count are put right when they come up. */
  readonly #heap: Pair[] = [];

  constructor(words: readonly Word[]) {
    this.#words = words;
    const touched = new Set<number>();
    words.forEach((_, index) => {
      this.#add(index, 1, touched);
    });
    this.#enqueue(touched);
  }

  /** The most frequent pair, of equal ones that with the smallest ids; nothing if all are rarer than `least`. */
  takeMostFrequent(least: number): Pair | undefined {
    for (let pair = pop(this.#heap); pair; pair = pop(this.#heap)) {
      const count = this.#counts.get(pair.left * RADIX + pair.right) ?? 0;
      if (count === pair.count) return count < least ? undefined : pair;
      if (count >= least && count < pair.count) push(this.#heap, { ...pair, count });
    }
    return undefined;
  }

  /** Replaces a pair by a token wherever it stands. */
  merge({ left, right }: Pair, id: number): void {
    const touched = new Set<number>();
    const key = left * RADIX + right;
    for (const index of this.#places.get(key) ?? []) {
      const word = this.#words[index] as Word;
      this.#add(index, -1);
      word.ids = mergePair(word.ids, left, right, id);
      this.#add(index, 1, touched);
    }
    this.#places.delete(key);
    this.#counts.delete(key);
    this.#enqueue(touched);
  }

  /** Counts the pairs of a word in or out, and notes those that gained. */
  #add(index: number, sign: 1 | -1, touched?: Set<number>): void {
    const { ids, count } = this.#words[index] as Word;
    for (let at = 1; at < ids.length; at++) {
      const key = (ids[at - 1] as number) * RADIX + (ids[at] as number);
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + sign * count);
      if (!touched) continue;
      touched.add(key);
      const places = this.#places.get(key);
      if (places) places.add(index);
      else this.#places.set(key, new Set([index]));
    }
  }

  #enqueue(keys: Iterable<number>): void {
    for (const key of keys) {
      const count = this.#counts.get(key) as number;
      push(this.#heap, { left: Math.floor(key / RADIX), right: key % RADIX, count });
    }
  }
}

function mergePair(ids: readonly number[], left: number, right: number, merged: number): number[] {
  const result: number[] = [];
  for (let at = 0; at < ids.length; at++) {
    const found = ids[at] === left && ids[at + 1] === right;
    result.push(found ? merged : (ids[at] as number));
    if (found) at++;
  }
  return result;
}

function before(a: Pair, b: Pair): boolean {
  if (a.count !== b.count) return a.count > b.count;
  return a.left !== b.left ? a.left < b.left : a.right < b.right;
}

function push(heap: Pair[], pair: Pair): void {
  let at = heap.push(pair) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!before(pair, heap[above] as Pair)) break;
    heap[at] = heap[above] as Pair;
    at = above;
  }
  heap[at] = pair;
}

function pop(heap: Pair[]): Pair | undefined {
  const [first] = heap;
  const last = heap.pop();
  if (heap.length === 0 || !last) return first;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    if (below + 1 < heap.length && before(heap[below + 1] as Pair, heap[below] as Pair)) below++;
    if (below >= heap.length || !before(heap[below] as Pair, last)) break;
    heap[at] = heap[below] as Pair;
    at = below;
  }
  heap[at] = last;
  return first;
}
