/** Messages of chat completions, to and from those of a chat. */
import { ForgeError } from "../../../engine/error.ts";
import type { ChatReply } from "../chat/chat.ts";
import type { AssistantMessage, Message, ToolCall, ToolDefinition } from "../message.ts";
import type { HandedReplies } from "./handed-replies.ts";
import type { CompletionAnswer, CompletionToolCall } from "./openai-types.ts";

/** A message, checked as far as its fields' types go. */
export interface CheckedMessage {
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  readonly content?: string | readonly { readonly type: string; readonly text?: unknown }[] | null;
  readonly name?: string;
  readonly tool_calls?: readonly CompletionToolCall[] | null;
  readonly tool_call_id?: string;
  readonly reasoning_content?: string | null;
}

/** A tool, checked as far as its fields' types go. */
export interface CheckedTool {
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Readonly<Record<string, unknown>> | null;
  };
}

/**
 * A chat as it was sent, with the policy's messages as it said them.
 *
 * Errors    `argument_invalid` for content that is no text, arguments that are no JSON, and a tool's message that answers no call
 */
export function messagesOfCompletion(
  messages: readonly CheckedMessage[],
  handed: HandedReplies,
): Message[] {
  const names = new Map<string, string>();
  return messages.map((message, index) => {
    const content = textOf(message, index);
    if (message.role === "user") return { role: "user", content };
    if (message.role === "tool")
      return { role: "tool", content, ...answeredCall(message, index, names) };
    if (message.role !== "assistant") return { role: "system", content };
    const said = handed.recall(assistantMessage(message, content, index), index);
    for (const { id, name } of said.toolCalls ?? []) names.set(id, name);
    return said;
  });
}

/** Tools as they were sent. */
export function toolsOfCompletion(tools: readonly CheckedTool[]): ToolDefinition[] {
  return tools.map(({ function: { name, description, parameters } }) => ({
    name,
    ...(description !== undefined && { description }),
    parameters: parameters ?? { type: "object", properties: {} },
  }));
}

/** A reply as it is sent. `content` is that which clients are told. */
export function completionAnswer({ message }: ChatReply, content: string): CompletionAnswer {
  const { reasoning, toolCalls = [] } = message;
  return {
    role: "assistant",
    content: content === "" && toolCalls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(completionToolCall) }),
  };
}

/** A call of a tool as it is sent. */
export function completionToolCall({ id, name, input }: ToolCall): CompletionToolCall {
  return { id, type: "function", function: { name, arguments: JSON.stringify(input) ?? "null" } };
}

function assistantMessage(
  message: CheckedMessage,
  content: string,
  index: number,
): AssistantMessage {
  const { reasoning_content: reasoning, tool_calls: calls } = message;
  return {
    role: "assistant",
    content,
    ...(reasoning && { reasoning }),
    ...(calls?.length && {
      toolCalls: calls.map(({ id, function: { name, arguments: text } }, i) => ({
        id,
        name,
        input: parsed(text, `messages[${index}].tool_calls[${i}].function.arguments`),
      })),
    }),
  };
}

function answeredCall(
  { tool_call_id: toolCallId = "", name: own }: CheckedMessage,
  index: number,
  names: ReadonlyMap<string, string>,
): { readonly toolCallId: string; readonly name: string } {
  const name = own ?? names.get(toolCallId);
  if (name !== undefined) return { toolCallId, name };
  throw new ForgeError({
    code: "argument_invalid",
    what: `messages[${index}] answers no call of a tool.`,
    got: `tool_call_id ${JSON.stringify(toolCallId)}`,
    why: "no message of the assistant before it has a call with this id",
    fix: "send the message with the call too, or give the tool's message a name",
  });
}

function textOf({ content }: CheckedMessage, index: number): string {
  if (typeof content === "string") return content;
  const texts = (content ?? []).map(({ type, text }, i) => {
    if (type === "text" && typeof text === "string") return text;
    throw new ForgeError({
      code: "argument_invalid",
      what: `messages[${index}].content[${i}] is no text.`,
      got: `a part of type ${JSON.stringify(type)}`,
      why: "the policy reads text only",
      fix: "send parts of type text",
    });
  });
  return texts.join("");
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ForgeError({
      code: "argument_invalid",
      what: `${path} is no JSON.`,
      got: JSON.stringify(text.slice(0, 80)),
      fix: "send the arguments of the call as they were received",
      cause,
    });
  }
}
