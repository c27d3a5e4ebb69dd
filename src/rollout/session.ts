/** Conversations: what was said stays in the cache, and each turn computes only what is new. */
import type { Generation, GenerationRequest } from "./request.ts";
import type { Sampler } from "./sampler.ts";

/** Ids of a conversation, and a place in the cache that is kept for it. Dispose it when the conversation is over. */
export class Session implements Disposable {
  readonly #sampler: Sampler;
  readonly #forget: (session: Session) => void;
  #ids: number[] = [];

  constructor(sampler: Sampler, forget: (session: Session) => void) {
    this.#sampler = sampler;
    this.#forget = forget;
  }

  /** All ids so far: prompts, and what was sampled, verbatim. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /** Appends ids (a user's turn, a tool's result) and continues. Errors: as {@link Sampler.generate}. */
  async generate(
    request: Omit<GenerationRequest, "prompt"> & { readonly append: ArrayLike<number> },
  ): Promise<Generation> {
    const { append, ...rest } = request;
    const prompt = [...this.#ids, ...Array.from(append)];
    const generation = await this.#sampler.generate({ ...rest, prompt }, this);
    this.#ids = [...prompt, ...generation.ids];
    return generation;
  }

  [Symbol.dispose](): void {
    this.#forget(this);
  }
}
