/** What all ways to ask a model share. */
import type { Chat, ChatReply } from "../chat/chat.ts";
import type { ToolCall } from "../message.ts";
import type { HandedReplies } from "./handed-replies.ts";

/**
 * Hears of each reply, and who asked, before the client does: of malformed calls too, which clients are told as text, and of
 * calls that the client answers by itself, as no tool that it has.
 */
export type OnReply = (reply: ChatReply, role: string, refused: readonly ToolCall[]) => void;

/** Where a model's requests are made and its answers are kept. */
export interface ModelDesk {
  readonly chat: Chat;
  /** Name of the model. */
  readonly id: string;
  readonly handed: HandedReplies;
  /** A name for an answer. */
  readonly nextId: () => string;
  readonly onReply: OnReply;
}

/** Keeps a reply to `index` messages that the client is told with `content`. */
export function keepReply(
  { chat, handed, onReply }: ModelDesk,
  index: number,
  content: string,
  reply: ChatReply,
  refused: readonly ToolCall[] = [],
): void {
  handed.keep(index, content, reply);
  onReply(reply, chat.role, refused);
}
