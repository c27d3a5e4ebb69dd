/** Prompts and answers of the Vercel AI SDK, to and from messages of a chat. */
import { ForgeError } from "../../../engine/error.ts";
import type { ChatReply, ChatRequest } from "../chat/chat.ts";
import type {
  AssistantMessage,
  Message,
  ToolCall,
  ToolDefinition,
  ToolMessage,
} from "../message.ts";
import type {
  AiSdkCall,
  AiSdkMessage,
  AiSdkPart,
  AiSdkTool,
  AiSdkToolCall,
  AiSdkToolOutput,
} from "./ai-sdk-types.ts";
import type { HandedReplies } from "./handed-replies.ts";

/**
 * What a chat is to be asked, with the policy's messages as it said them.
 *
 * Errors    `argument_invalid` for parts that are no text, tools that a provider would run, and a choice of tool
 */
export function requestOfPrompt(call: AiSdkCall, handed: HandedReplies): ChatRequest {
  const { prompt, tools = [], toolChoice, maxOutputTokens, stopSequences, abortSignal } = call;
  if (toolChoice && toolChoice.type !== "auto" && toolChoice.type !== "none")
    refuse(
      `tool choice ${toolChoice.type}`,
      "the policy cannot be forced to call a tool",
      "leave it out",
    );
  const areToolsTold = tools.length > 0 && toolChoice?.type !== "none";
  return {
    messages: messagesOfPrompt(prompt, handed),
    ...(areToolsTold && { tools: tools.map(toolOf) }),
    ...(maxOutputTokens !== undefined && { maxTokens: maxOutputTokens }),
    ...(stopSequences?.length && { stopStrings: stopSequences }),
    ...(abortSignal && { signal: abortSignal }),
  };
}

/** Messages of a prompt. A message of several tools' results is several messages. */
export function messagesOfPrompt(
  prompt: readonly AiSdkMessage[],
  handed: HandedReplies,
): Message[] {
  const messages: Message[] = [];
  for (const { role, content } of prompt) {
    if (typeof content === "string") messages.push({ role: "system", content });
    else if (role === "tool") messages.push(...content.map(toolMessage));
    else if (role === "assistant")
      messages.push(handed.recall(assistantMessage(content), messages.length, true));
    else messages.push({ role: "user", content: content.map(textOf).join("") });
  }
  return messages;
}

/** A call of a tool as it is sent. */
export function aiSdkToolCall({ id, name, input }: ToolCall): AiSdkToolCall {
  return {
    type: "tool-call",
    toolCallId: id,
    toolName: name,
    input: JSON.stringify(input) ?? "null",
  };
}

/** What was sampled, for the answer's metadata. */
export function sampledIds({ promptIds, ids }: ChatReply): { promptIds: number[]; ids: number[] } {
  return { promptIds: [...promptIds], ids: [...ids] };
}

function assistantMessage(parts: readonly AiSdkPart[]): AssistantMessage {
  const thoughts = parts.filter(({ type }) => type === "reasoning");
  const calls = parts.filter(({ type }) => type === "tool-call");
  const others = parts.filter((part) => !thoughts.includes(part) && !calls.includes(part));
  return {
    role: "assistant",
    content: others.map(textOf).join(""),
    ...(thoughts.length > 0 && { reasoning: thoughts.map(({ text = "" }) => text).join("") }),
    ...(calls.length > 0 && {
      toolCalls: calls.map(({ toolCallId = "", toolName = "", input }) => ({
        id: toolCallId,
        name: toolName,
        input,
      })),
    }),
  };
}

function toolMessage({ type, toolCallId = "", toolName = "", output }: AiSdkPart): ToolMessage {
  if (type !== "tool-result" || !output) refusePart(type);
  return { role: "tool", content: outputText(output), toolCallId, name: toolName };
}

function outputText({ type, value, reason }: AiSdkToolOutput): string {
  switch (type) {
    case "text":
      return String(value);
    case "json":
      return JSON.stringify(value) ?? "";
    case "error-text":
      return `error: ${value}`;
    case "error-json":
      return `error: ${JSON.stringify(value)}`;
    case "execution-denied":
      return `error: ${reason ?? "the call was denied"}`;
    case "content":
      return (value as readonly AiSdkPart[]).map(textOf).join("");
    default:
      return refusePart(type);
  }
}

function textOf({ type, text }: AiSdkPart): string {
  return type === "text" && text !== undefined ? text : refusePart(type);
}

function toolOf({ type, name, description, inputSchema }: AiSdkTool): ToolDefinition {
  if (type !== "function")
    refuse(
      `tool ${name}`,
      "it is to be run by a provider, and there is none",
      "define it with `tool`",
    );
  return {
    name,
    ...(description !== undefined && { description }),
    parameters: inputSchema as ToolDefinition["parameters"],
  };
}

function refusePart(type: string): never {
  refuse(`a part of type ${type}`, "the policy reads text only", "send parts of type text");
}

function refuse(got: string, why: string, fix: string): never {
  throw new ForgeError({
    code: "argument_invalid",
    what: "the policy cannot be asked this.",
    ...{ got, why, fix },
  });
}
