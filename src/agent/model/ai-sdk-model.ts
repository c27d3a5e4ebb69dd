/** A policy as a language model of the Vercel AI SDK. */
import type { ChatReply, ChatRequest } from "../chat/chat.ts";
import type { ToolCall } from "../message.ts";
import { aiSdkToolCall, requestOfPrompt, sampledIds } from "./ai-sdk-prompt.ts";
import type {
  AiSdkAnswer,
  AiSdkCall,
  AiSdkContent,
  AiSdkModel,
  AiSdkResponse,
  AiSdkStreamPart,
  AiSdkWarning,
} from "./ai-sdk-types.ts";
import { toldContent } from "./handed-replies.ts";
import { keepReply, type ModelDesk } from "./model-desk.ts";
import { readableOf } from "./readable.ts";
import { finished, type ReplyEnd, ReplyStream } from "./reply-stream.ts";

/** See {@link AiSdkModel}. */
export function aiSdkModel(desk: ModelDesk): AiSdkModel {
  const { chat, id, handed } = desk;
  return {
    specificationVersion: "v3",
    provider: "forge-gpu",
    modelId: id,
    supportedUrls: {},
    async doGenerate(call) {
      const request = requestOfPrompt(call, handed);
      request.signal?.throwIfAborted();
      const reply = await finished(chat.ask(request), request.signal);
      const content = toldContent(reply);
      keepReply(desk, request.messages.length, content, reply, refusedOf(request, reply));
      return {
        content: contentOf(reply, content),
        ...endOf(reply),
        response: responseOf(desk),
        warnings: warningsOf(call),
      };
    },
    async doStream(call) {
      const request = requestOfPrompt(call, handed);
      const stream = await ReplyStream.open(chat, request);
      const parts = streamParts(desk, call, stream, (end) =>
        keepReply(
          desk,
          request.messages.length,
          end.content,
          end.reply,
          refusedOf(request, end.reply),
        ),
      );
      return { stream: readableOf(parts, stream.controller) };
    },
  };
}

/** Calls of tools that the SDK does not have: it tells the policy so itself, and runs nothing. */
function refusedOf({ tools = [] }: ChatRequest, { message }: ChatReply): ToolCall[] {
  const names = new Set(tools.map(({ name }) => name));
  return (message.toolCalls ?? []).filter(({ name }) => !names.has(name));
}

async function* streamParts(
  desk: ModelDesk,
  call: AiSdkCall,
  stream: ReplyStream,
  keep: (end: ReplyEnd) => void,
): AsyncGenerator<AiSdkStreamPart, void> {
  const id = "0";
  let hasText = false;
  function* text(delta: string): Generator<AiSdkStreamPart, void> {
    if (!hasText) yield { type: "text-start", id };
    hasText = true;
    yield { type: "text-delta", id, delta };
  }
  yield { type: "stream-start", warnings: warningsOf(call) };
  yield { type: "response-metadata", ...responseOf(desk) };
  for await (const event of stream.events()) {
    if ("text" in event) {
      yield* text(event.text);
      continue;
    }
    keep(event);
    const { reasoning } = event.reply.message;
    if (reasoning !== undefined) yield* reasoningParts(reasoning);
    if (event.rest !== "") yield* text(event.rest);
    if (hasText) yield { type: "text-end", id };
    yield* callParts(event.reply);
    yield { type: "finish", ...endOf(event.reply) };
  }
}

function* reasoningParts(delta: string): Generator<AiSdkStreamPart, void> {
  const id = "reasoning";
  yield { type: "reasoning-start", id };
  yield { type: "reasoning-delta", id, delta };
  yield { type: "reasoning-end", id };
}

function* callParts({ message: { toolCalls = [] } }: ChatReply): Generator<AiSdkStreamPart, void> {
  for (const call of toolCalls.map(aiSdkToolCall)) {
    const { toolCallId: id, toolName, input } = call;
    yield { type: "tool-input-start", id, toolName };
    yield { type: "tool-input-delta", id, delta: input };
    yield { type: "tool-input-end", id };
    yield call;
  }
}

function contentOf({ message }: ChatReply, content: string): AiSdkContent[] {
  const { reasoning, toolCalls = [] } = message;
  return [
    ...(reasoning === undefined ? [] : [{ type: "reasoning" as const, text: reasoning }]),
    ...(content === "" ? [] : [{ type: "text" as const, text: content }]),
    ...toolCalls.map(aiSdkToolCall),
  ];
}

function endOf(reply: ChatReply): Pick<AiSdkAnswer, "usage" | "finishReason" | "providerMetadata"> {
  const { finishReason, promptIds, ids } = reply;
  const unified = {
    stop: "stop",
    length: "length",
    tool_calls: "tool-calls",
    cancelled: "stop",
  } as const;
  return {
    finishReason: { unified: unified[finishReason], raw: finishReason },
    usage: {
      inputTokens: {
        total: promptIds.length,
        ...{ noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
      },
      outputTokens: { total: ids.length, text: undefined, reasoning: undefined },
    },
    providerMetadata: { "forge-gpu": sampledIds(reply) },
  };
}

function responseOf({ id: modelId, nextId }: ModelDesk): AiSdkResponse {
  return { id: nextId(), timestamp: new Date(), modelId };
}

function warningsOf({ responseFormat }: AiSdkCall): AiSdkWarning[] {
  if (!responseFormat || responseFormat.type === "text") return [];
  const details = "the policy is not held to a format; a reward can teach it one";
  return [{ type: "unsupported", feature: "responseFormat", details }];
}
