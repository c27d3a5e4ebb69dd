/** Log-probs of given tokens by the way that training takes: whole sequences in one pass, without a cache. */
import {
  type CausalLM,
  type Compiled,
  compile,
  concat,
  type Device,
  ForgeError,
  packSequences,
  slice,
  type Tensor,
  tensor,
  topK,
} from "../../engine/index.ts";
import type { Alternative } from "./request.ts";

/** Options of {@link Scorer}. */
export interface ScorerOptions {
  readonly device: Device;
  readonly model: CausalLM;
  /** Tokens that one call takes, of several sequences together; a longer sequence has a call to itself. Default 2048. */
  readonly maxTokens?: number;
}

/** Token ids to be scored. */
export interface SequenceToScore {
  /** One or more. */
  readonly ids: ArrayLike<number>;
  /** The first token to be scored; what stands before it is only read. Default 1, and not less: nothing predicts token 0. */
  readonly from?: number;
}

/** How sequences are scored. */
export interface ScoreOptions {
  /** Logits are divided by it; 0 counts as 1, as it does where tokens are sampled. Default 1. */
  readonly temperature?: number;
  /** How many of the most probable tokens to give for each place. Default 0. */
  readonly alternatives?: number;
  /** Called after each call with how many tokens are done, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** How tokens of a call are scored. */
type Settings = Required<Pick<ScoreOptions, "temperature" | "alternatives">>;

/** What a sequence's tokens `from`, `from` + 1, … come to: one element for each. */
export interface SequenceScore {
  /** Log-probability of ids[t] after ids[0 … t − 1], in nats. */
  readonly logprobs: readonly number[];
  /** Entropy of the distribution that it was taken from, in nats. */
  readonly entropies: readonly number[];
  /** The most probable tokens of that distribution, in descending order, as many as were asked for. */
  readonly alternatives: readonly (readonly Alternative[])[];
}

/** Sequences that share a call. */
interface Pack {
  readonly members: readonly { readonly index: number; readonly ids: Uint32Array }[];
  readonly tokens: number;
}

/** What a call gives for each token of a pack: of the label that stands behind it. */
type Scores = Readonly<Record<"logprob" | "entropy" | "lse", Tensor>> & {
  /** Of the most probable tokens [T, n]. */
  readonly top?: Readonly<Record<"ids" | "logits", Tensor>>;
};

type Score = Compiled<[tokens: Tensor, labels: Tensor, end: Tensor, depth: Tensor], Scores>;

/** Tokens of the smallest call. Calls are powers of two, so that there are few plans. */
const FEWEST = 16;
/** Plans of so many different options are kept. */
const MOST_KEPT = 4;
/** Logits that are held at once to look for the most probable ones: 16 MiB. */
const LOGITS_AT_ONCE = 2 ** 22;
/** Padding has no label. */
const NONE = 0xffffffff;

/**
 * Scores tokens that are already there: the log-probs that training starts from, and the reference of the sampler's.
 *
 * Sequences are chains of one forest, several to a call; a call is padded to the next power of two by tokens that see
 * nothing and are seen by nobody.
 */
export class Scorer implements Disposable {
  readonly #device: Device;
  readonly #model: CausalLM;
  readonly #maxTokens: number;
  readonly #kept: Map<string, Score> = new Map();
  #last: Promise<unknown> = Promise.resolve();

  /** Errors: `argument_invalid`. */
  constructor({ device, model, maxTokens = 2048 }: ScorerOptions) {
    if (!Number.isInteger(maxTokens) || maxTokens < 1)
      throw refused("maxTokens", maxTokens, "it is a positive integer");
    this.#device = device;
    this.#model = model;
    this.#maxTokens = maxTokens;
  }

  /**
   * Scores each sequence; those of one token come to nothing. Calls wait for each other.
   *
   * Errors    `argument_invalid`; `index_out_of_range` for an id beyond the vocabulary; `context_exceeded` for a sequence
   *           longer than the model was made for; those of the device.
   */
  async score(
    sequences: readonly SequenceToScore[],
    { temperature = 1, alternatives = 0, onProgress }: ScoreOptions = {},
  ): Promise<SequenceScore[]> {
    const settings = { temperature: temperature || 1, alternatives };
    this.#checkSettings(settings);
    const checked = sequences.map((sequence, index) => this.#checked(sequence, index));
    const scores: SequenceScore[] = checked.map(() => ({
      logprobs: [],
      entropies: [],
      alternatives: [],
    }));
    // what a call gives is overwritten by the next one
    const turn = this.#last.then(async () => {
      const packs = packsOf(checked, this.#maxTokens);
      const total = packs.reduce((sum, { tokens }) => sum + tokens, 0);
      let done = 0;
      for (const pack of packs) {
        const rows = await this.#run(pack, settings);
        let start = 0;
        for (const { index, ids } of pack.members) {
          const { from = 1 } = sequences[index] as SequenceToScore;
          // the log-prob of a token stands at the one before it
          scores[index] = rows(start + from - 1, start + ids.length - 1);
          start += ids.length;
        }
        done += pack.tokens;
        onProgress?.(done, total);
      }
    });
    this.#last = turn.catch(() => undefined);
    await turn;
    return scores;
  }

  /** Frees the plans. */
  [Symbol.dispose](): void {
    for (const score of this.#kept.values()) score[Symbol.dispose]();
    this.#kept.clear();
  }

  /** Scores a pack; the result gives a range of its rows. */
  async #run(
    { members, tokens }: Pack,
    settings: Settings,
  ): Promise<(start: number, end: number) => SequenceScore> {
    const size = Math.max(FEWEST, 2 ** Math.ceil(Math.log2(tokens)));
    const ids = new Uint32Array(size);
    const labels = new Uint32Array(size).fill(NONE);
    let at = 0;
    for (const member of members) {
      ids.set(member.ids, at);
      labels.set(member.ids.subarray(1), at);
      at += member.ids.length;
    }
    const padding = new Array<number>(size - tokens).fill(1);
    const { end, depth } = packSequences([...members.map((m) => m.ids.length), ...padding]);
    const run = this.#plans(settings);
    const scores = await run(tensor(ids), tensor(labels), tensor(end), tensor(depth));
    const [logprobs, entropies] = [await scores.logprob.read(), await scores.entropy.read()];
    const top = await readTop(scores, settings);
    return (from, to) => ({
      logprobs: [...logprobs.subarray(from, to)],
      entropies: [...entropies.subarray(from, to)],
      alternatives: top.slice(from, to),
    });
  }

  #plans({ temperature, alternatives }: Settings): Score {
    const key = `${temperature} ${alternatives}`;
    const known = this.#kept.get(key);
    this.#kept.delete(key);
    const score = known ?? this.#compile({ temperature, alternatives });
    this.#kept.set(key, score);
    for (const [oldest, plans] of this.#kept) {
      if (this.#kept.size <= MOST_KEPT) break;
      this.#kept.delete(oldest);
      plans[Symbol.dispose]();
    }
    return score;
  }

  #compile({ temperature, alternatives }: Settings): Score {
    const { transformer } = this.#model;
    return compile(
      (tokens: Tensor, labels: Tensor, end: Tensor, depth: Tensor): Scores => {
        const forest = { end, depth };
        const scores = transformer.score(tokens, labels, forest, { temperature });
        if (alternatives === 0) return scores;
        // the same nodes as in the score: a graph has them once
        const hidden = transformer.hidden(tokens, forest);
        const { vocab } = transformer.options;
        const rows = Math.max(1, Math.floor(LOGITS_AT_ONCE / vocab));
        const parts = chunks(hidden, rows).map((part) =>
          topK(transformer.logits(part), alternatives),
        );
        const ids = concat(parts.map((p) => p.indices));
        const logits = concat(parts.map((p) => p.values));
        return { ...scores, top: { ids, logits } };
      },
      { device: this.#device, label: "score" },
    );
  }

  #checkSettings({ temperature, alternatives }: Settings): void {
    const { vocab } = this.#model.options;
    if (!(temperature > 0 && Number.isFinite(temperature)))
      throw refused("temperature", temperature, "it is a number from 0 on");
    if (!Number.isInteger(alternatives) || alternatives < 0 || alternatives > vocab)
      throw refused("alternatives", alternatives, `it is an integer from 0 to ${vocab}`);
  }

  #checked({ ids, from = 1 }: SequenceToScore, index: number): Uint32Array {
    const { vocab } = this.#model.options;
    const { maxLength } = this.#model;
    if (ids.length === 0)
      throw refused(`sequences[${index}].ids`, "no ids", "a text begins with some token");
    if (!Number.isInteger(from) || from < 1 || from > ids.length)
      throw refused(`sequences[${index}].from`, from, `it is an integer from 1 to ${ids.length}`);
    if (ids.length > maxLength) {
      throw new ForgeError({
        code: "context_exceeded",
        what: `score: sequences[${index}] is longer than the model's context.`,
        got: `${ids.length} tokens`,
        why: `the model was made for ${maxLength}`,
        fix: "score it in parts",
      });
    }
    const bad = Array.from(ids).findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
    if (bad < 0) return Uint32Array.from(ids);
    throw new ForgeError({
      code: "index_out_of_range",
      what: `score: an id of sequences[${index}] is beyond the vocabulary.`,
      got: `${ids[bad]} at ${bad}`,
      why: `ids are integers from 0 to ${vocab - 1}`,
      fix: "encode with the model's own tokenizer",
    });
  }
}

/** Sequences in their order, as many to a pack as the budget has room for; those of one token are left out. */
function packsOf(sequences: readonly Uint32Array[], maxTokens: number): Pack[] {
  const packs: { members: { index: number; ids: Uint32Array }[]; tokens: number }[] = [];
  sequences.forEach((ids, index) => {
    if (ids.length === 1) return;
    const last = packs.at(-1);
    if (last && last.tokens + ids.length <= maxTokens) {
      last.members.push({ index, ids });
      last.tokens += ids.length;
    } else packs.push({ members: [{ index, ids }], tokens: ids.length });
  });
  return packs;
}

function chunks(x: Tensor, rows: number): Tensor[] {
  const size = x.shape[0] as number;
  return Array.from({ length: Math.ceil(size / rows) }, (_, i) =>
    slice(x, 0, i * rows, Math.min(size, (i + 1) * rows)),
  );
}

/** The most probable tokens of each row. */
async function readTop(
  { top, lse }: Scores,
  { temperature, alternatives }: Settings,
): Promise<readonly (readonly Alternative[])[]> {
  if (!top) return [];
  const [ids, logits] = [await top.ids.read(), await top.logits.read()];
  const sums = await lse.read();
  return Array.from(sums, (sum, row) =>
    Array.from({ length: alternatives }, (_, i) => {
      const at = row * alternatives + i;
      return { id: ids[at] as number, logprob: (logits[at] as number) / temperature - sum };
    }),
  );
}

function refused(field: string, got: unknown, why: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `score: "${field}" cannot be used.`,
    got: String(got),
    why,
    fix: "correct it",
  });
}
