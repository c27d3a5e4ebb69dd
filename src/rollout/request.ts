/** What a sampler is asked for, and what it gives. */
import { ForgeError, type SamplingOptions, samplingWords } from "../../engine/index.ts";

/** One continuation to be sampled. */
export interface GenerationRequest {
  /** Token ids to continue: one or more. */
  readonly prompt: ArrayLike<number>;
  /** Most tokens to sample. Default: as many as the context has room for. */
  readonly maxTokens?: number;
  /** How tokens are chosen. The default seed is the sampler's, with the request's number. */
  readonly sampling?: SamplingOptions;
  /** Tokens that end the text; they are its last token then. Default: the sampler's. */
  readonly stopIds?: readonly number[];
  /** Strings that end the text, which ends before them; ids are kept up to the token that completed one. */
  readonly stopStrings?: readonly string[];
  /** Ends after `count` tokens in a row of more than `probability` each. Default: off. */
  readonly repetition?: RepetitionStop;
  /** How many of the most probable tokens to give with each. Default 0; tokens then come one a readback. */
  readonly alternatives?: number;
  /** Requests of one queue are served in their order, queues in turns. Default: one queue for all. */
  readonly queue?: string;
  /** Ends the generation; what was sampled so far is its result. */
  readonly signal?: AbortSignal;
  /** Called with each token as it comes back. What it throws ends the generation. */
  readonly onToken?: (token: SampledToken) => void;
}

/** See {@link GenerationRequest.repetition}. Source: MiniMax-M1, arXiv:2506.13585, §4.3. */
export interface RepetitionStop {
  readonly count: number;
  readonly probability: number;
}

/** A token that might have been. */
export interface Alternative {
  readonly id: number;
  readonly logprob: number;
}

/** A sampled token. */
export interface SampledToken {
  readonly id: number;
  /** Log-probability under softmax(logits / temperature), nothing truncated: that which training sees. */
  readonly logprob: number;
  /** Entropy of that distribution, in nats. */
  readonly entropy: number;
  /** Text that it completes, less what may be the start of a stop string; "" without a tokenizer. */
  readonly text: string;
  readonly alternatives: readonly Alternative[];
}

/** Why a generation ended. */
export type FinishReason = "stop" | "length" | "stop_string" | "repetition" | "cancelled";

/** A finished generation. Ids are the record; text is for people and tools. */
export interface Generation {
  readonly promptIds: readonly number[];
  readonly ids: readonly number[];
  /** Of each id, see {@link SampledToken}. */
  readonly logprobs: readonly number[];
  readonly entropies: readonly number[];
  /** Of each id, where they were asked for. */
  readonly alternatives: readonly (readonly Alternative[])[];
  /** Without stop strings and special tokens; "" without a tokenizer. */
  readonly text: string;
  readonly finishReason: FinishReason;
  /** The stop string that was found. */
  readonly stop?: string;
  readonly seed: bigint;
  /** Tokens of the prompt whose keys and values were there already. */
  readonly reusedTokens: number;
  /** Versions of the policy that sampled the first and the last token. */
  readonly policyVersions: readonly [first: number, last: number];
  readonly timing: GenerationTiming;
}

/** Milliseconds of wall time. */
export interface GenerationTiming {
  readonly queuedMs: number;
  /** From leaving the queue to the first token. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Words of stop tokens that the GPU looks at; others are looked at when tokens come back. */
export const STOP_WORDS = 8;

/** What a request comes to, once checked. */
export interface CheckedRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly settings: Uint32Array<ArrayBuffer>;
  readonly seed: bigint;
  readonly stopIds: ReadonlySet<number>;
  readonly request: GenerationRequest;
}

/** What a sampler allows. */
export interface RequestLimits {
  readonly vocab: number;
  /** Tokens of prompt and continuation together. */
  readonly length: number;
  readonly stopIds: readonly number[];
  readonly seed: bigint;
  readonly hasTokenizer: boolean;
  readonly maxAlternatives: number;
}

/**
 * Errors    `argument_invalid`; `index_out_of_range` for an id beyond the vocabulary; `context_exceeded`, with the
 *           numbers, for what has no room.
 */
export function checkRequest(request: GenerationRequest, limits: RequestLimits): CheckedRequest {
  const prompt = Array.from(request.prompt);
  const { vocab, length } = limits;
  if (prompt.length === 0)
    refuse("prompt", "no ids", "a text begins with some token", "pass one id or more");
  const bad = prompt.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
  if (bad >= 0) {
    throw new ForgeError({
      code: "index_out_of_range",
      what: "generate: an id of the prompt is beyond the vocabulary.",
      got: `${prompt[bad]} at ${bad}`,
      why: `ids are integers from 0 to ${vocab - 1}`,
      fix: "encode with the model's own tokenizer",
    });
  }
  // the last token is never fed: it needs no place
  const room = length + 1 - prompt.length;
  const { maxTokens = room, alternatives = 0, repetition } = request;
  if (!Number.isInteger(maxTokens) || (maxTokens < 1 && request.maxTokens !== undefined))
    refuse("maxTokens", maxTokens, "it is a positive integer", "correct it");
  if (maxTokens < 1 || maxTokens > room) {
    throw new ForgeError({
      code: "context_exceeded",
      what: "generate: prompt and continuation do not fit the context.",
      got: `${prompt.length} tokens of prompt + ${request.maxTokens ?? "at least 1"} to sample`,
      why: `the context holds ${length} tokens, and the one after them can be sampled`,
      fix: "shorten the prompt, lower maxTokens, or open the sampler with a larger length",
    });
  }
  if (!Number.isInteger(alternatives) || alternatives < 0 || alternatives > limits.maxAlternatives)
    refuse(
      "alternatives",
      alternatives,
      `it is an integer from 0 to ${limits.maxAlternatives}`,
      "lower it",
    );
  if (repetition && !(Number.isInteger(repetition.count) && repetition.count > 0))
    refuse("repetition.count", repetition.count, "it is a positive integer", "correct it");
  if (repetition && !(repetition.probability >= 0 && repetition.probability < 1))
    refuse(
      "repetition.probability",
      repetition.probability,
      "it is from 0 to below 1",
      "correct it",
    );
  if (request.stopStrings?.length && !limits.hasTokenizer)
    refuse(
      "stopStrings",
      request.stopStrings.join(", "),
      "without a tokenizer there is no text",
      "open the sampler with a tokenizer, or use stopIds",
    );
  const seed = BigInt(request.sampling?.seed ?? limits.seed);
  return {
    prompt,
    maxTokens,
    settings: samplingWords({ ...request.sampling, seed }),
    seed,
    stopIds: new Set(request.stopIds ?? limits.stopIds),
    request,
  };
}

function refuse(field: string, got: unknown, why: string, fix: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: `generate: "${field}" cannot be used.`,
    got: String(got),
    why,
    fix,
  });
}
