/** Answers of the policy as chat completions have them. */
import type { ChatReply } from "../chat/chat.ts";
import { completionAnswer } from "./openai-messages.ts";
import type {
  Completion,
  CompletionFinish,
  CompletionLogprobs,
  CompletionUsage,
} from "./openai-types.ts";

/** What all pieces of an answer say of it. */
export interface CompletionHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** An answer as a whole. `content` is that which clients are told. */
export function completionOf(
  head: CompletionHead,
  reply: ChatReply,
  content: string,
  hasLogprobs: boolean,
): Completion {
  return {
    ...head,
    object: "chat.completion",
    choices: [
      {
        index: 0,
        message: completionAnswer(reply, content),
        finish_reason: finishOf(reply),
        logprobs: hasLogprobs ? logprobsOf(reply) : null,
        token_ids: reply.ids,
      },
    ],
    usage: usageOf(reply),
    prompt_token_ids: reply.promptIds,
  };
}

/** Why it ended. One that was cancelled is not told. */
export function finishOf({ finishReason }: ChatReply): CompletionFinish {
  return finishReason === "cancelled" ? "stop" : finishReason;
}

/** Of each sampled token. */
export function logprobsOf({ ids, logprobs }: ChatReply): CompletionLogprobs {
  return {
    content: ids.map((id, i) => ({
      token: `token_id:${id}`,
      logprob: logprobs[i] as number,
      bytes: null,
      top_logprobs: [],
    })),
    refusal: null,
  };
}

/** Tokens of the request and its answer. */
export function usageOf({ promptIds, ids }: ChatReply): CompletionUsage {
  return {
    prompt_tokens: promptIds.length,
    completion_tokens: ids.length,
    total_tokens: promptIds.length + ids.length,
  };
}
