/** A generation under way: what came back so far, and whether it is over. */
import { type Detokenizer, StopStrings, type Tokenizer } from "../../engine/index.ts";
import { detokenizerAfter } from "./detokenizer-after.ts";
import type {
  Alternative,
  CheckedRequest,
  FinishReason,
  Generation,
  SampledToken,
} from "./request.ts";
import type { Slot } from "./slot-table.ts";

/** A token as it comes from the GPU. */
export interface DrawnToken {
  readonly id: number;
  readonly logprob: number;
  readonly entropy: number;
  readonly alternatives: readonly Alternative[];
  readonly policyVersion: number;
}

/** See the file's head. */
export class ActiveGeneration {
  readonly checked: CheckedRequest;
  readonly session: object | undefined;
  /** Set when it leaves the queue. */
  slot: Slot | undefined;
  reusedTokens = 0;
  /** Tokens of the prompt whose keys and values are in the cache. */
  prefilled = 0;
  /** What it comes to; rejected with what `onToken` threw, or what befell the sampler. */
  readonly finished: Promise<Generation>;
  #resolve!: (generation: Generation) => void;
  #reject!: (error: unknown) => void;
  #finishReason: FinishReason | undefined;
  #failure: { readonly error: unknown } | undefined;
  #stop: string | undefined;
  #text = "";
  readonly #ids: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #entropies: number[] = [];
  readonly #alternatives: (readonly Alternative[])[] = [];
  readonly #versions: [number, number] = [0, 0];
  readonly #detokenizer: Detokenizer | undefined;
  readonly #stops: StopStrings | undefined;
  #confident = 0;
  readonly #queuedAt = performance.now();
  #startedAt = 0;
  #firstAt = 0;

  constructor(checked: CheckedRequest, tokenizer: Tokenizer | undefined, session?: object) {
    this.checked = checked;
    this.session = session;
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { stopStrings = [] } = checked.request;
    this.#detokenizer =
      tokenizer && detokenizerAfter(checked.prompt, tokenizer, { skipSpecialTokens: true });
    this.#stops = stopStrings.length > 0 ? new StopStrings(stopStrings) : undefined;
  }

  /** Sampled so far. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /** Whether the prompt is in the cache and tokens are drawn. */
  get isDecoding(): boolean {
    return this.prefilled === this.checked.prompt.length;
  }

  /** Whether its text has ended, or cannot go on. */
  get isOver(): boolean {
    return this.#finishReason !== undefined || this.#failure !== undefined;
  }

  get isCancelled(): boolean {
    return this.checked.request.signal?.aborted === true;
  }

  get remaining(): number {
    return this.checked.maxTokens - this.#ids.length;
  }

  start(slot: Slot, reused: number): void {
    this.slot = slot;
    this.reusedTokens = reused;
    this.prefilled = reused;
    this.#startedAt = performance.now();
  }

  /** Takes a token in. Nothing comes after the one that ends it. */
  push(drawn: DrawnToken): void {
    const { request, stopIds } = this.checked;
    if (this.#ids.length === 0) this.#firstAt = performance.now();
    if (this.#ids.length === 0) this.#versions[0] = drawn.policyVersion;
    this.#versions[1] = drawn.policyVersion;
    this.#ids.push(drawn.id);
    this.#logprobs.push(drawn.logprob);
    this.#entropies.push(drawn.entropy);
    if (request.alternatives) this.#alternatives.push(drawn.alternatives);
    const isStop = stopIds.has(drawn.id);
    const isLast = isStop || this.#repeats(drawn.logprob) || this.remaining === 0;
    const text = this.#textOf(drawn.id, isLast);
    if (this.#stop !== undefined) this.#finishReason = "stop_string";
    else if (isStop) this.#finishReason = "stop";
    else if (isLast) this.#finishReason = this.remaining === 0 ? "length" : "repetition";
    this.#text += text;
    const { id, logprob, entropy, alternatives } = drawn;
    const token: SampledToken = { id, logprob, entropy, text, alternatives };
    try {
      request.onToken?.(token);
    } catch (error) {
      this.#failure = { error };
    }
  }

  /** Ends it with what came so far, unless it has failed. */
  finish(): void {
    if (this.#failure) this.#reject(this.#failure.error);
    else this.#resolve(this.#result());
  }

  fail(error: unknown): void {
    this.#reject(error);
  }

  #result(): Generation {
    if (!this.#finishReason) {
      this.#finishReason = "cancelled";
      this.#text += this.#flush();
    }
    const now = performance.now();
    const started = this.#startedAt || now;
    const first = this.#firstAt || now;
    return {
      promptIds: this.checked.prompt,
      ids: this.#ids,
      logprobs: this.#logprobs,
      entropies: this.#entropies,
      alternatives: this.#alternatives,
      text: this.#text,
      finishReason: this.#finishReason,
      ...(this.#stop === undefined ? {} : { stop: this.#stop }),
      seed: this.checked.seed,
      reusedTokens: this.reusedTokens,
      policyVersions: this.#versions,
      timing: {
        queuedMs: started - this.#queuedAt,
        prefillMs: first - started,
        decodeMs: now - first,
      },
    };
  }

  #textOf(id: number, isLast: boolean): string {
    const isStopId = this.checked.stopIds.has(id);
    const piece = isStopId ? "" : (this.#detokenizer?.push(id) ?? "");
    const text = this.#guarded(piece);
    return isLast && this.#stop === undefined ? text + this.#flush() : text;
  }

  #flush(): string {
    const rest = this.#guarded(this.#detokenizer?.flush() ?? "");
    return this.#stop === undefined ? rest + (this.#stops?.flush() ?? "") : rest;
  }

  #guarded(piece: string): string {
    if (!this.#stops) return piece;
    const { text, stop } = this.#stops.push(piece);
    this.#stop = stop;
    return text;
  }

  #repeats(logprob: number): boolean {
    const { repetition } = this.checked.request;
    if (!repetition) return false;
    this.#confident = Math.exp(logprob) > repetition.probability ? this.#confident + 1 : 0;
    return this.#confident >= repetition.count;
  }
}
