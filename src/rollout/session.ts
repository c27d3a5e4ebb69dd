/** Conversations: what was said stays in the cache, and each turn computes only what is new. */
import { ForgeError } from "../../engine/index.ts";
import type { Generation, GenerationRequest } from "./request.ts";

/** What a session asks of its sampler. */
export interface SessionHost {
  /** Continues a prompt in the slot of the session. Errors: as `Sampler.generate`. */
  generate(request: GenerationRequest, session: Session): Promise<Generation>;
}

/** Ids of a conversation, and a place in the cache that is kept for it. Dispose it when the conversation is over. */
export class Session implements Disposable {
  readonly #sampler: SessionHost;
  readonly #forget: (session: Session) => void;
  #ids: number[] = [];
  #isBusy = false;

  constructor(sampler: SessionHost, forget: (session: Session) => void) {
    this.#sampler = sampler;
    this.#forget = forget;
  }

  /** All ids so far: prompts, and what was sampled, verbatim. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /**
   * Appends ids (a user's turn, a tool's result) and continues. What was sampled before an end, whatever its reason, is
   * part of the conversation; after an error it is as it was.
   *
   * Errors    as `Sampler.generate`; `state_conflict` while another turn is under way.
   */
  async generate(
    request: Omit<GenerationRequest, "prompt"> & { readonly append: ArrayLike<number> },
  ): Promise<Generation> {
    if (this.#isBusy) {
      throw new ForgeError({
        code: "state_conflict",
        what: "session: another turn is under way.",
        fix: "wait for it, or open a session for each conversation",
      });
    }
    const { append, ...rest } = request;
    const prompt = [...this.#ids, ...Array.from(append)];
    this.#isBusy = true;
    try {
      const generation = await this.#sampler.generate({ ...rest, prompt }, this);
      this.#ids = [...prompt, ...generation.ids];
      return generation;
    } finally {
      this.#isBusy = false;
    }
  }

  [Symbol.dispose](): void {
    this.#forget(this);
  }
}
