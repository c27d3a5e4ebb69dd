/** Chat completions by a policy. */
import type { ChatReply } from "../chat/chat.ts";
import { type CompletionHead, completionOf, finishOf, logprobsOf, usageOf } from "./completion.ts";
import { type CheckedRequest, checkedRequest } from "./completion-request.ts";
import { toldContent } from "./handed-replies.ts";
import { keepReply, type ModelDesk } from "./model-desk.ts";
import { completionAnswer } from "./openai-messages.ts";
import type {
  ChatCompletions,
  Completion,
  CompletionChunk,
  CompletionDelta,
  CompletionFinish,
  CompletionStream,
} from "./openai-types.ts";
import { finished, type ReplyEnd, ReplyStream } from "./reply-stream.ts";

/** See {@link ChatCompletions}. */
export function chatCompletions(desk: ModelDesk): ChatCompletions {
  const create = (
    request: unknown,
    { signal }: { readonly signal?: AbortSignal | null } = {},
  ): Promise<Completion & CompletionStream> => {
    const checked = checkedRequest(request, desk.handed);
    const asked = { ...checked, chat: { ...checked.chat, ...(signal && { signal }) } };
    const answer = checked.isStreamed ? streamed(desk, asked) : complete(desk, asked);
    return answer as Promise<Completion & CompletionStream>;
  };
  return { create: async (...call: Parameters<typeof create>) => create(...call) };
}

async function complete(
  desk: ModelDesk,
  { chat: request, hasLogprobs }: CheckedRequest,
): Promise<Completion> {
  const head = headOf(desk);
  request.signal?.throwIfAborted();
  const reply = await finished(desk.chat.ask(request), request.signal);
  const content = toldContent(reply);
  keepReply(desk, request.messages.length, content, reply);
  return completionOf(head, reply, content, hasLogprobs);
}

async function streamed(desk: ModelDesk, request: CheckedRequest): Promise<CompletionStream> {
  const stream = await ReplyStream.open(desk.chat, request.chat);
  const { controller } = stream;
  return {
    controller,
    [Symbol.asyncIterator]: () => chunks(desk, request, stream),
  };
}

async function* chunks(
  desk: ModelDesk,
  { chat: request, hasLogprobs, hasUsage }: CheckedRequest,
  stream: ReplyStream,
): AsyncGenerator<CompletionChunk, void> {
  const head = headOf(desk);
  try {
    yield chunk(head, { role: "assistant", content: "" });
    for await (const event of stream.events()) {
      if ("text" in event) yield chunk(head, { content: event.text });
      else {
        keepReply(desk, request.messages.length, event.content, event.reply);
        yield* lastChunks(head, event, hasLogprobs);
        if (hasUsage) yield { ...chunk(head, {}), choices: [], usage: usageOf(event.reply) };
      }
    }
  } catch (error) {
    if (!stream.controller.signal.aborted && !request.signal?.aborted) throw error;
  }
}

function* lastChunks(
  head: CompletionHead,
  { reply, rest }: ReplyEnd,
  hasLogprobs: boolean,
): Generator<CompletionChunk, void> {
  const { reasoning_content, tool_calls } = completionAnswer(reply, rest);
  if (reasoning_content !== undefined) yield chunk(head, { reasoning_content });
  if (rest !== "") yield chunk(head, { content: rest });
  if (tool_calls)
    yield chunk(head, { tool_calls: tool_calls.map((call, index) => ({ index, ...call })) });
  yield lastChunk(head, reply, hasLogprobs);
}

function lastChunk(head: CompletionHead, reply: ChatReply, hasLogprobs: boolean): CompletionChunk {
  const { choices, ...rest } = chunk(head, {}, finishOf(reply));
  const logprobs = hasLogprobs ? logprobsOf(reply) : null;
  return {
    ...rest,
    choices: choices.map((choice) => ({ ...choice, logprobs, token_ids: reply.ids })),
    prompt_token_ids: reply.promptIds,
  };
}

function chunk(
  head: CompletionHead,
  delta: CompletionDelta,
  finish: CompletionFinish | null = null,
): CompletionChunk {
  return {
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason: finish }],
  };
}

function headOf({ id: model, nextId }: ModelDesk): CompletionHead {
  return { id: nextId(), created: Math.floor(Date.now() / 1000), model };
}
