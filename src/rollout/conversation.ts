/** Conversations by a model's chat template, in which what was sampled stays as it was sampled. */
import type { ChatMessage, ChatTemplate, Tokenizer } from "../../engine/index.ts";
import { detokenizerAfter } from "./detokenizer-after.ts";
import type { Generation, GenerationRequest } from "./request.ts";
import type { Sampler } from "./sampler.ts";
import type { Session } from "./session.ts";

/** Options of {@link Conversation}. */
export interface ConversationOptions {
  readonly sampler: Sampler;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** What stands before the first turn: a system message, say. */
  readonly messages?: readonly ChatMessage[];
  /** Variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Tokens that end an answer, beside the one that the template ends it with. */
  readonly stopIds?: readonly number[];
}

/** How an answer is sampled. `maxTokens` is cut down to what the context has room for. */
export type TurnRequest = Omit<GenerationRequest, "prompt" | "stopIds">;

/** A turn: a message and the answer to it. */
export interface Turn {
  readonly generation: Generation;
  /** Tokens that were put before the answer: the message, and what the template writes around it. */
  readonly addedTokens: number;
  /** Whether the template writes what was said before otherwise now, so that all of it was tokenised anew. */
  readonly isRewritten: boolean;
}

/**
 * A conversation whose ids are a session's: each turn appends those of its own part of the template, and nothing that was
 * sampled is tokenised again.
 *
 * Which part that is, the text tells: the whole conversation is rendered, and what follows the text of the ids so far is
 * new. Where that text is not how the rendered one begins (the template trims an answer, or leaves former thoughts out),
 * the template is right: the session begins anew with the rendered text, of which the cache still has the common part.
 */
export class Conversation implements Disposable {
  readonly #options: ConversationOptions;
  readonly #stopIds: readonly number[];
  #messages: readonly ChatMessage[];
  #session: Session;
  /** The text of the session's ids, special tokens and all. */
  #text = "";

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#messages = options.messages ?? [];
    this.#session = options.sampler.session();
    const end = endOfAnswer(options);
    this.#stopIds = [...(options.stopIds ?? []), ...(end === undefined ? [] : [end])];
  }

  /** All messages so far, answers too. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Ids so far: the record, of which the messages are a reading. */
  get ids(): readonly number[] {
    return this.#session.ids;
  }

  /**
   * Adds a message and samples the answer to it. What came before an interruption is the answer then. After an error the
   * conversation is as it was.
   *
   * Errors    `template_invalid` for what the template refuses; those of `Sampler.generate`.
   */
  async say(message: ChatMessage, request: TurnRequest = {}): Promise<Turn> {
    const { sampler, tokenizer, template, variables } = this.#options;
    const messages = [...this.#messages, message];
    const text = template.render({ ...variables, messages, addGenerationPrompt: true });
    const isRewritten = !text.startsWith(this.#text);
    if (isRewritten) this.#begin();
    const append = tokenizer.encode(text.slice(this.#text.length), { addSpecialTokens: false });
    const room = sampler.length + 1 - this.#session.ids.length - append.length;
    const { maxTokens = room } = request;
    const generation = await this.#session.generate({
      ...request,
      append,
      stopIds: this.#stopIds,
      maxTokens: room < 1 ? 1 : Math.min(maxTokens, room),
    });
    this.#text = text + textAfter(generation, tokenizer);
    this.#messages = [...messages, { role: "assistant", content: generation.text }];
    return { generation, addedTokens: append.length, isRewritten };
  }

  /** Gives its place in the cache back. */
  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }

  #begin(): void {
    this.#session[Symbol.dispose]();
    this.#session = this.#options.sampler.session();
    this.#text = "";
  }
}

/** The text of sampled ids where they stand, special tokens and all. */
function textAfter({ promptIds, ids }: Generation, tokenizer: Tokenizer): string {
  const detokenizer = detokenizerAfter(promptIds, tokenizer);
  return ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush();
}

/**
 * The special token that a template ends an answer with, if it does: not all models name it among those that end a text.
 * A template that refuses the plainest conversation tells nothing.
 */
function endOfAnswer({ template, tokenizer, variables }: ConversationOptions): number | undefined {
  const [question, answer] = ["question", "an answer without another"];
  const messages = [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ];
  try {
    const text = template.render({ ...variables, messages });
    const at = text.lastIndexOf(answer);
    const rest = at < 0 ? "" : text.slice(at + answer.length);
    return tokenizer
      .encode(rest, { addSpecialTokens: false })
      .find((id) => tokenizer.isSpecial(id));
  } catch {
    return undefined;
  }
}
