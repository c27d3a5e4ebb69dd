/** Episodes in which the policy's part is given. */
import { ForgeError } from "../../../engine/error.ts";
import { writingOf } from "../../agent/chat/episode-chat.ts";
import type {
  Environment,
  EpisodeDetails,
  EpisodeTrace,
  WrittenReply,
} from "../../agent/environment.ts";
import type { AssistantMessage } from "../../agent/message.ts";
import type { PolicyLanguage, PolicyRequest } from "../../agent/policy.ts";
import { type ScriptedAnswer, ScriptedPolicy, type ScriptedRequest } from "./scripted-policy.ts";

/** Options of {@link playScripted}. */
export interface ScriptedEpisodeOptions<Task> {
  readonly environment: Environment<Task>;
  readonly task: Task;
  /** Of the episode. */
  readonly seed: number;
  readonly language: PolicyLanguage;
  readonly answer: ScriptedAnswer;
  readonly signal?: AbortSignal;
}

/** How it went. */
export interface ScriptedEpisode<Task> {
  readonly trace: EpisodeTrace<Task>;
  readonly requests: readonly ScriptedRequest[];
}

/** Plays an episode with the environment's own agent and tools. Errors: those of the play, and of the script. */
export async function playScripted<Task>(
  options: ScriptedEpisodeOptions<Task>,
): Promise<ScriptedEpisode<Task>> {
  const { environment, task, seed, language, answer } = options;
  const { signal = new AbortController().signal } = options;
  const policy = new ScriptedPolicy(language, answer);
  let details: EpisodeDetails | undefined;
  const attach = (given: EpisodeDetails): void => {
    details = given;
  };
  const result = await environment.play({ task, policy, seed, signal, attach });
  const { replies, requests } = policy;
  const text = replies.at(-1)?.text ?? "";
  return { trace: { task, replies, text, result, details, isTruncated: false }, requests };
}

/**
 * A reply that somebody has written, as the ids that the policy would have sampled: in a chat what the template makes of it,
 * else its text; with the token that ends an answer.
 *
 * Errors    `argument_invalid` for calls where there is no chat; those of template and tokenizer.
 */
export function idsOfReply(
  reply: WrittenReply,
  { chat }: PolicyRequest,
  language: PolicyLanguage,
): readonly number[] {
  const [end] = language.stopIds;
  if (!chat) {
    if (typeof reply !== "string") throw withoutChat();
    const ids = language.tokenizer.encode(reply, { addSpecialTokens: false });
    return end === undefined ? ids : [...ids, end];
  }
  const { writer } = writingOf(language);
  const ids = writer.answer([...chat.messages, messageOf(reply)], chat.tools);
  const isEnded = end === undefined || language.stopIds.includes(ids.at(-1) ?? -1);
  return isEnded ? ids : [...ids, end];
}

function messageOf(reply: WrittenReply): AssistantMessage {
  if (typeof reply === "string") return { role: "assistant", content: reply };
  const { content = "", reasoning, calls = [] } = reply;
  return {
    ...{ role: "assistant", content },
    ...(reasoning !== undefined && { reasoning }),
    ...(calls.length > 0 && {
      toolCalls: calls.map((call, i) => ({ id: `call_written_${i}`, ...call })),
    }),
  };
}

function withoutChat(): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "a reply with calls of tools was written for a request that is no chat.",
    fix: "write it as text",
  });
}
