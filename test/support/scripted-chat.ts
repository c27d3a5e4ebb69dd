/** A policy that says what it is told to. */
import type { Chat, ChatReply, ChatRequest, MalformedCall } from "../../src/agent/chat/chat.ts";
import type { AssistantMessage } from "../../src/agent/message.ts";

/** What it says. */
export interface ScriptedReply {
  readonly content?: string;
  readonly reasoning?: string;
  readonly calls?: readonly { readonly name: string; readonly input: unknown }[];
  readonly malformed?: readonly MalformedCall[];
  /** Text as it comes; default: the content, word by word. */
  readonly pieces?: readonly string[];
  readonly isCut?: boolean;
  /** It never ends of its own accord. */
  readonly isEndless?: boolean;
}

/** Says one thing after the other, or throws it, and knows what it was asked. */
export class ScriptedChat implements Chat {
  readonly role: string;
  /** What it was asked, by all roles. */
  readonly requests: (ChatRequest & { readonly role: string })[];
  /** What it answered. */
  readonly replies: ChatReply[];
  readonly #script: (ScriptedReply | Error)[];

  constructor(
    script: readonly (ScriptedReply | Error)[],
    shared?: Pick<ScriptedChat, "requests" | "replies">,
    role = "main",
  ) {
    this.#script = shared ? (script as ScriptedReply[]) : [...script];
    this.requests = shared?.requests ?? [];
    this.replies = shared?.replies ?? [];
    this.role = role;
  }

  as(role: string): ScriptedChat {
    return new ScriptedChat(this.#script, this, role);
  }

  async ask(request: ChatRequest): Promise<ChatReply> {
    const requestIndex = this.requests.length;
    this.requests.push({ ...request, role: this.role });
    const scripted = this.#script.shift();
    if (!scripted) throw new Error("the script has ended");
    if (scripted instanceof Error) throw scripted;
    const { content = "", isEndless } = scripted;
    const pieces = scripted.pieces ?? content.split(/(?<= )/);
    for (let i = 0; i < pieces.length || isEndless; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (request.signal?.aborted) break;
      request.onText?.(pieces[i] ?? "");
    }
    const reply = replyOf(scripted, requestIndex, request);
    this.replies.push(reply);
    return reply;
  }
}

function replyOf(
  { content = "", reasoning, calls = [], malformed = [], isCut }: ScriptedReply,
  requestIndex: number,
  { messages, signal }: ChatRequest,
): ChatReply {
  const message: AssistantMessage = {
    role: "assistant",
    content,
    ...(reasoning !== undefined && { reasoning }),
    ...(calls.length > 0 && {
      toolCalls: calls.map((call, i) => ({ id: `call_${requestIndex}_${i}`, ...call })),
    }),
  };
  const ids = [...new TextEncoder().encode(content)];
  const end = isCut ? "length" : calls.length > 0 ? "tool_calls" : "stop";
  return {
    requestIndex,
    message,
    malformed,
    finishReason: signal?.aborted ? "cancelled" : end,
    promptIds: [messages.length, 7, 7],
    ids,
    logprobs: ids.map((_, i) => -(i + 1) / 4),
  };
}
