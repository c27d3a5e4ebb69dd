/** What all ways to ask a model share. */
import type { Chat, ChatReply } from "../chat/chat.ts";
import type { HandedReplies } from "./handed-replies.ts";

/** Where a model's requests are made and its answers are kept. */
export interface ModelDesk {
  readonly chat: Chat;
  /** Name of the model. */
  readonly id: string;
  readonly handed: HandedReplies;
  /** A name for an answer. */
  readonly nextId: () => string;
  /** Hears of each reply, and who asked, before the client does. */
  readonly onReply: (reply: ChatReply, role: string) => void;
}

/** Keeps a reply to `index` messages that the client is told with `content`. */
export function keepReply(
  { chat, handed, onReply }: ModelDesk,
  index: number,
  content: string,
  reply: ChatReply,
): void {
  handed.keep(index, content, reply);
  onReply(reply, chat.role);
}
