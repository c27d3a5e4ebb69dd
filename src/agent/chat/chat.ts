/** Chats with the policy: messages in, a message out. */
import type { AssistantMessage, Message, ToolDefinition } from "../message.ts";

/** A chat, to which the policy is to say what comes next. */
export interface ChatRequest {
  /** All of it, as chat completion servers take it. One message or more. */
  readonly messages: readonly Message[];
  /** Default: none. */
  readonly tools?: readonly ToolDefinition[];
  readonly maxTokens?: number;
  readonly stopStrings?: readonly string[];
  /** The request whose answer made the agent ask this. Default: the one whose chat this one continues. */
  readonly parent?: number;
  /** Ends the answer; what was sampled so far is it. */
  readonly signal?: AbortSignal;
  /** Called with text as it is sampled, calls of tools as they are written too. */
  readonly onText?: (text: string) => void;
}

/** What the policy said. */
export interface ChatReply {
  /** Number of the request in its episode. */
  readonly requestIndex: number;
  readonly message: AssistantMessage;
  /** What it wrote that looks like a call of a tool and is none. */
  readonly malformed: readonly MalformedCall[];
  /** "length" is a cut; "tool_calls" where it wrote some. */
  readonly finishReason: "stop" | "length" | "tool_calls" | "cancelled";
  readonly promptIds: readonly number[];
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
}

/** Text that looks like a call of a tool, and why it is none. */
export interface MalformedCall {
  readonly text: string;
  readonly reason: string;
}

/** An agent's line to the policy. Requests may overlap. */
export interface Chat {
  /** Name of the agent that asks: "main", or a sub-agent's. */
  readonly role: string;
  /**
   * Asks for what comes next. Where the messages begin with a chat of before and the policy's answer to it, what was
   * sampled stays as it was sampled, and only what is new is tokenised.
   *
   * Errors    `template_invalid` where the chat template refuses the messages; `context_exceeded`; those of the sampler.
   */
  ask(request: ChatRequest): Promise<ChatReply>;
  /** The same line for a sub-agent, with a name of its own. Its first request follows the latest of this one. */
  as(role: string): Chat;
}
