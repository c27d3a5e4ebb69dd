/** Answers of the policy on their way to a client that reads them piece by piece. */
import type { Chat, ChatReply, ChatRequest } from "../chat/chat.ts";
import { toldContent } from "./handed-replies.ts";
import { SafeText } from "./safe-text.ts";

/** Some text of an answer, or, at its end, the reply. */
export type ReplyEvent = { readonly text: string } | ReplyEnd;

/** The end of an answer. */
export interface ReplyEnd {
  readonly reply: ChatReply;
  /** Content that was not told before. */
  readonly rest: string;
  /** All content that was told, `rest` included. */
  readonly content: string;
}

/** An answer on its way. */
export class ReplyStream {
  /** Ends the sampling. */
  readonly controller: AbortController;
  readonly #text: SafeText;
  readonly #asked: Promise<ReplyEnd>;
  readonly #begun: Promise<void>;
  #isOver = false;
  #hasNews = false;
  #wake = (): void => {};

  /** Asks, and resolves when the answer begins: what keeps it from beginning is thrown here. Errors: those of {@link finished}. */
  static async open(chat: Chat, request: ChatRequest): Promise<ReplyStream> {
    request.signal?.throwIfAborted();
    const stream = new ReplyStream(chat, request);
    await Promise.race([stream.#begun, stream.#asked]);
    return stream;
  }

  private constructor(chat: Chat, request: ChatRequest) {
    const controller = new AbortController();
    const signals = [controller.signal, ...(request.signal ? [request.signal] : [])];
    const signal = AbortSignal.any(signals);
    this.controller = controller;
    this.#text = new SafeText(request.tools !== undefined);
    let begin = (): void => {};
    this.#begun = new Promise((resolve) => {
      begin = resolve;
    });
    const onText = (piece: string): void => {
      this.#text.push(piece);
      begin();
      this.#tell();
    };
    this.#asked = finished(chat.ask({ ...request, signal, onText }), signal).then((reply) =>
      this.#end(reply),
    );
    const over = (): void => {
      this.#isOver = true;
      this.#tell();
    };
    this.#asked.then(over, over);
  }

  /** To be read once. Leaving it ends the sampling. Errors: those of {@link finished}. */
  async *events(): AsyncGenerator<ReplyEvent, void> {
    try {
      while (!this.#isOver) {
        const text = this.#text.take();
        if (text) yield { text };
        else await this.#news();
      }
      yield await this.#asked;
    } finally {
      if (!this.#isOver) this.controller.abort();
    }
  }

  #end(reply: ChatReply): ReplyEnd {
    const { told } = this.#text;
    const content = toldContent(reply);
    const rest = content.startsWith(told) ? content.slice(told.length) : "";
    return { reply, rest, content: told + rest };
  }

  #tell(): void {
    this.#hasNews = true;
    this.#wake();
  }

  async #news(): Promise<void> {
    if (!this.#hasNews)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#hasNews = false;
  }
}

/** Waits for a reply. Errors: those of `Chat.ask`; the signal's reason, else an AbortError, for one that was cancelled. */
export async function finished(
  asked: Promise<ChatReply>,
  signal: AbortSignal | undefined,
): Promise<ChatReply> {
  const reply = await asked;
  if (reply.finishReason !== "cancelled") return reply;
  signal?.throwIfAborted();
  throw new DOMException("The answer was cancelled.", "AbortError");
}
