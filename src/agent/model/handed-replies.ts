/** What the policy said, as clients were told of it, to know it again when they give it back. */
import type { ChatReply } from "../chat/chat.ts";
import type { AssistantMessage } from "../message.ts";

interface HandedReply {
  /** Messages before it. */
  readonly index: number;
  /** As the client was told. */
  readonly told: AssistantMessage;
  /** As the policy said it. */
  readonly said: AssistantMessage;
}

/**
 * Replies that clients were handed. A chat goes on at token level where its messages are those of before, and clients change
 * them on the way: what was thought is dropped, inputs come back as a schema parsed them, and text that is no call is content.
 */
export class HandedReplies {
  readonly #replies = new Map<string, HandedReply[]>();

  /** Keeps a reply to `index` messages that is told with `content`. */
  keep(index: number, content: string, { message }: ChatReply): void {
    const told = { ...message, content };
    const key = keyOf(told);
    const same = this.#replies.get(key) ?? [];
    this.#replies.set(key, [...same, { index, told, said: message }]);
  }

  /**
   * The policy's own message that `message`, number `index` of a chat, was told as; else `message`. What is left out of its
   * thoughts is theirs, and so are its inputs where `areInputsParsed`: clients that parse them give back what they made of
   * them. Several alike: the one at that place, else the latest.
   */
  recall(message: AssistantMessage, index: number, areInputsParsed = false): AssistantMessage {
    const inputs = areInputsParsed ? "" : inputsOf(message);
    const alike = (this.#replies.get(keyOf(message)) ?? []).filter(
      ({ told }) =>
        (message.reasoning === undefined || message.reasoning === told.reasoning) &&
        (areInputsParsed || inputsOf(told) === inputs),
    );
    return (alike.findLast((reply) => reply.index === index) ?? alike.at(-1))?.said ?? message;
  }
}

/** Content of a reply as clients are told of it: what looks like a call and is none is there as it was written. */
export function toldContent({ message, malformed }: ChatReply): string {
  return [message.content, ...malformed.map(({ text }) => text)]
    .filter((text) => text !== "")
    .join("\n");
}

function keyOf({ content, toolCalls = [] }: AssistantMessage): string {
  return JSON.stringify([content, ...toolCalls.flatMap(({ id, name }) => [id, name])]);
}

function inputsOf({ toolCalls = [] }: AssistantMessage): string {
  return JSON.stringify(toolCalls.map(({ input }) => input));
}
