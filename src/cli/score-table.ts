/** Scores of tokens as a table for people. */
import { Detokenizer, type Tokenizer } from "../../engine/index.ts";
import type { SequenceScore } from "../rollout/scorer.ts";
import { tableText } from "../terminal/table.ts";

/** A scored text. */
export interface ScoredText {
  readonly ids: readonly number[];
  /** What each id adds to the text. */
  readonly texts: readonly string[];
  readonly score: SequenceScore;
}

/** What log-probs come to together. */
export interface Totals {
  /** Tokens scored. */
  readonly scored: number;
  /** In nats. */
  readonly sum: number;
  /** In nats a token; none of no tokens. */
  readonly mean: number | null;
  /** exp(−mean). */
  readonly perplexity: number | null;
}

/** Characters of a token that are shown. */
const LONGEST = 24;

/** What each id adds to the text; the piece of the vocabulary where it completes no character. */
export function tokenTexts(ids: readonly number[], tokenizer: Tokenizer | undefined): string[] {
  if (!tokenizer) return ids.map(() => "");
  const detokenizer = new Detokenizer(tokenizer);
  return ids.map((id) => detokenizer.push(id) || (tokenizer.tokenOf(id) ?? ""));
}

/** Sums over all tokens of some sequences. */
export function totalsOf(scores: readonly SequenceScore[]): Totals {
  const all = scores.flatMap((score) => score.logprobs);
  const sum = all.reduce((a, b) => a + b, 0);
  const mean = all.length === 0 ? null : sum / all.length;
  return { scored: all.length, sum, mean, perplexity: mean === null ? null : Math.exp(-mean) };
}

/** Totals in a line. */
export function totalsText({ scored, sum, mean, perplexity }: Totals): string {
  const figure = (value: number | null): string => value?.toFixed(4) ?? "none";
  return `${scored} scored · sum ${figure(sum)} · mean ${figure(mean)} · perplexity ${figure(perplexity)}`;
}

/** A line for each token; the first has no figures, since nothing predicts it. */
export function scoreTable(
  { ids, texts, score }: ScoredText,
  tokenizer: Tokenizer | undefined,
): string {
  const rows = ids.map((id, t): readonly string[] => {
    const [logprob, entropy] = [score.logprobs[t - 1], score.entropies[t - 1]];
    const top = score.alternatives[t - 1] ?? [];
    const others = top.map((a) => `${shown(tokenizer, a.id)} ${a.logprob.toFixed(2)}`);
    return [
      quoted(texts[t] ?? ""),
      String(id),
      logprob?.toFixed(4) ?? "",
      entropy?.toFixed(4) ?? "",
      others.join("  "),
    ];
  });
  const heading = ["token", "id", "logprob", "entropy", score.alternatives.length ? "top" : ""];
  return tableText([heading, ...rows], [0, 4]);
}

/** A token by itself: as the vocabulary spells it, with its spaces. */
function shown(tokenizer: Tokenizer | undefined, id: number): string {
  const piece = tokenizer?.tokenOf(id);
  if (!tokenizer || piece === undefined) return String(id);
  const detokenizer = new Detokenizer(tokenizer);
  // behind itself: the first token of a text may lose its space
  detokenizer.push(id);
  detokenizer.flush();
  return quoted(detokenizer.push(id) || piece);
}

function quoted(text: string): string {
  const whole = JSON.stringify(text);
  return whole.length <= LONGEST ? whole : `${whole.slice(0, LONGEST - 1)}…`;
}
