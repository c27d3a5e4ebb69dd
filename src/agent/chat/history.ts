/** Chats of an episode by what was said in them, to find the one that a request continues. */
import type { AssistantMessage, Message, ToolDefinition } from "../message.ts";

/** A request that was answered. */
export interface AnsweredChat {
  readonly requestIndex: number;
  /** As it was asked, and the answer. */
  readonly messages: readonly Message[];
  /** Of prompt and answer, as they were fed and sampled. */
  readonly ids: readonly number[];
}

interface Node {
  readonly next: Map<string, Node>;
  chat?: AnsweredChat;
}

/**
 * A tree of messages. Clients hand a chat back as they keep it: what they leave out (thoughts, ids of calls) makes no
 * difference here.
 */
export class ChatHistory {
  /** By tools: other tools are another prompt. */
  readonly #roots = new Map<string, Node>();

  /** Notes a request with its answer as its last message. Of two that say the same, the later counts. */
  add(chat: AnsweredChat, tools: readonly ToolDefinition[]): void {
    let node = this.#root(tools);
    for (const message of chat.messages) {
      const key = keyOf(message);
      const next = node.next.get(key) ?? { next: new Map() };
      node.next.set(key, next);
      node = next;
    }
    node.chat = chat;
  }

  /** The longest chat that messages begin with. */
  find(messages: readonly Message[], tools: readonly ToolDefinition[]): AnsweredChat | undefined {
    let node: Node | undefined = this.#root(tools);
    let found: AnsweredChat | undefined;
    for (const message of messages) {
      node = node.next.get(keyOf(message));
      if (!node) break;
      found = node.chat ?? found;
    }
    return found;
  }

  #root(tools: readonly ToolDefinition[]): Node {
    const key = JSON.stringify(tools);
    const root = this.#roots.get(key) ?? { next: new Map() };
    this.#roots.set(key, root);
    return root;
  }
}

function keyOf(message: Message): string {
  const { role, content } = message;
  if (role === "tool") return JSON.stringify([role, content, message.toolCallId]);
  return JSON.stringify([role, content, ...(role === "assistant" ? callsOf(message) : [])]);
}

function callsOf({ toolCalls = [] }: AssistantMessage): unknown[] {
  return toolCalls.map(({ name, input }) => [name, input]);
}
