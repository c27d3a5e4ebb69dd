/** Requests of chat completions, checked. */
import { z } from "zod";
import { ForgeError } from "../../../engine/error.ts";
import type { ChatRequest } from "../chat/chat.ts";
import type { HandedReplies } from "./handed-replies.ts";
import { messagesOfCompletion, toolsOfCompletion } from "./openai-messages.ts";

const content = z
  .union([z.string(), z.array(z.looseObject({ type: z.string() }))], {
    error: "expected text, or a list of parts of type text",
  })
  .nullish()
  .transform((value) => value ?? null);

const call = z.object({
  id: z.string(),
  type: z.literal("function"),
  function: z.object({ name: z.string(), arguments: z.string() }),
});

const message = z
  .object({
    role: z.enum(["system", "developer", "user", "assistant", "tool"]),
    content,
    name: z.string().exactOptional(),
    tool_calls: z.array(call).nullable().exactOptional(),
    tool_call_id: z.string().exactOptional(),
    reasoning_content: z.string().nullable().exactOptional(),
  })
  .refine(({ role, tool_call_id: id }) => role !== "tool" || id !== undefined, {
    error: "a tool's message needs the id of the call that it answers",
    path: ["tool_call_id"],
  });

const tool = z.object({
  type: z.literal("function"),
  function: z.object({
    name: z.string().min(1),
    description: z.string().exactOptional(),
    parameters: z.record(z.string(), z.unknown()).nullable().exactOptional(),
  }),
});

const choice = z.enum(["auto", "none"], {
  error: "expected auto or none: the policy cannot be forced to call a tool",
});
const count = z.int().positive().nullish();
const stopString = z.string().min(1);

/** What is not named here is ignored: how is sampled is the run's to say. */
const body = z.object({
  messages: z.array(message).min(1),
  tools: z.array(tool).default([]),
  tool_choice: choice.nullish(),
  max_tokens: count,
  max_completion_tokens: count,
  stop: z
    .union([stopString, z.array(stopString)], { error: "expected text, or a list of texts" })
    .nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.literal(0, { error: "expected 0: only sampled tokens are known" }).nullish(),
  n: z.literal(1, { error: "expected 1: ask several times for several answers" }).nullish(),
});

/** A request, as a chat takes it, and how the answer is to be told. */
export interface CheckedRequest {
  readonly chat: ChatRequest;
  readonly isStreamed: boolean;
  /** Whether a stream ends with a chunk of usage. */
  readonly hasUsage: boolean;
  readonly hasLogprobs: boolean;
}

/** Errors: `argument_invalid`, naming the first field that is wrong. */
export function checkedRequest(request: unknown, handed: HandedReplies): CheckedRequest {
  const result = body.safeParse(request);
  if (!result.success) throw invalid(result.error);
  const { messages, tools, tool_choice, stop, stream, stream_options, logprobs } = result.data;
  const maxTokens = result.data.max_completion_tokens ?? result.data.max_tokens ?? undefined;
  const areToolsTold = tools.length > 0 && tool_choice !== "none";
  return {
    chat: {
      messages: messagesOfCompletion(messages, handed),
      ...(areToolsTold && { tools: toolsOfCompletion(tools) }),
      ...(maxTokens !== undefined && { maxTokens }),
      ...(stop && { stopStrings: typeof stop === "string" ? [stop] : stop }),
    },
    isStreamed: stream ?? false,
    hasUsage: stream_options?.include_usage ?? false,
    hasLogprobs: logprobs ?? false,
  };
}

function invalid({ issues: [issue] }: z.ZodError): ForgeError {
  const path = (issue?.path ?? []).reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key),
    "",
  );
  return new ForgeError({
    code: "argument_invalid",
    what: `${path || "the request"} is not as chat completions have it.`,
    why: issue?.message ?? "",
    fix: "correct it, or leave it out",
  });
}
