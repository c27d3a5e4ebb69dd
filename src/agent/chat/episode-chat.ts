/** The chats of an episode: every request of every agent of it, in one history. */
import { ForgeError } from "../../../engine/error.ts";
import { toolCallFormat, writesCalls } from "../format/detect.ts";
import type { ToolCallFormat } from "../format/format.ts";
import type { AssistantMessage, Message } from "../message.ts";
import type { Policy, PolicyLanguage, PolicyReply } from "../policy.ts";
import type { Chat, ChatReply, ChatRequest } from "./chat.ts";
import { ChatHistory } from "./history.ts";
import { PromptWriter } from "./prompt-writer.ts";

/** What is the same for all chats of a policy. */
interface Writing {
  readonly writer: PromptWriter;
  readonly format: ToolCallFormat;
  /** Whether the template says what tools were called. */
  readonly writesCalls: boolean;
}

/** Probing a template takes longer than an episode of a small model; it is done once for each. */
const writings = new WeakMap<PolicyLanguage, Writing>();

/** How the chats of a policy are written. Errors: `template_invalid` for a policy without a template. */
export function writingOf(language: PolicyLanguage): Writing {
  const { template } = language;
  if (!template) throw withoutTemplate();
  const known = writings.get(language);
  if (known) return known;
  const writing = {
    writer: new PromptWriter(language, template),
    format: toolCallFormat(language),
    writesCalls: writesCalls(template),
  };
  writings.set(language, writing);
  return writing;
}

/** What the agents of an episode share. */
interface Shared {
  readonly policy: Policy;
  readonly history: ChatHistory;
  /** Which answer a call was written in, by its id. */
  readonly callers: Map<string, Caller>;
}

/** An answer, as the records of tools name it. */
export interface Caller {
  readonly requestIndex: number;
  readonly role: string;
}

/** See {@link Chat}. */
export class EpisodeChat implements Chat {
  readonly role: string;
  readonly #shared: Shared;
  #messages: readonly Message[] = [];
  /** The latest request of this agent, or the one that it was made behind. */
  #latest: number | undefined;

  /** @param policy of the episode */
  constructor(policy: Policy, role = "main", made?: { shared: Shared; after: number | undefined }) {
    this.role = role;
    this.#shared = made?.shared ?? { policy, history: new ChatHistory(), callers: new Map() };
    this.#latest = made?.after;
  }

  /** The chat of this agent's latest request, and the answer to it. */
  get messages(): readonly Message[] {
    return this.#messages;
  }

  as(role: string): EpisodeChat {
    const { policy } = this.#shared;
    return new EpisodeChat(policy, role, { shared: this.#shared, after: this.#latest });
  }

  /** The answer that a call was written in; without an id, the latest of this agent. */
  callerOf(callId: string | undefined): Caller | undefined {
    if (callId !== undefined) return this.#shared.callers.get(callId);
    return this.#latest === undefined ? undefined : { requestIndex: this.#latest, role: this.role };
  }

  async ask(request: ChatRequest): Promise<ChatReply> {
    const { messages, tools = [], maxTokens, stopStrings, signal, onText } = request;
    const { policy, history } = this.#shared;
    const { writer, format, ...writing } = writingOf(policy.language);
    if (tools.length > 0 && !writing.writesCalls) throw withoutCalls();
    const continued = history.find(messages, tools);
    const prompt = writer.prompt(messages, tools, continued);
    const parent = request.parent ?? continued?.requestIndex ?? this.#latest ?? null;
    const reply = await policy.generate({
      ...{ prompt, parent, role: this.role, chat: { messages, tools } },
      ...(maxTokens !== undefined && { maxTokens }),
      ...(stopStrings !== undefined && { stopStrings }),
      ...(signal && { signal }),
      ...(onText && { onText }),
    });
    const { requestIndex, ids, logprobs } = reply;
    const { message, malformed } = this.#read(reply, format, tools);
    for (const { id } of message.toolCalls ?? [])
      this.#shared.callers.set(id, { requestIndex, role: this.role });
    const all = [...messages, message];
    history.add({ requestIndex, messages: all, ids: [...prompt, ...ids] }, tools);
    this.#messages = all;
    this.#latest = requestIndex;
    const finishReason = finishOf(reply, message);
    return { requestIndex, message, malformed, finishReason, promptIds: prompt, ids, logprobs };
  }

  #read(
    reply: PolicyReply,
    format: ToolCallFormat,
    tools: NonNullable<ChatRequest["tools"]>,
  ): { message: AssistantMessage } & Pick<ChatReply, "malformed"> {
    const parsed = format.parse(writtenText(reply, this.#shared.policy.language), tools);
    const { content, reasoning, calls, malformed } = parsed;
    const toolCalls = calls.map((call, i) => ({ id: `call_${reply.requestIndex}_${i}`, ...call }));
    const message: AssistantMessage = {
      ...{ role: "assistant", content },
      ...(reasoning !== undefined && { reasoning }),
      ...(toolCalls.length > 0 && { toolCalls }),
    };
    return { message, malformed };
  }
}

/** What the policy wrote, special tokens and all, less the one that ended it. */
export function writtenText(
  { ids, text, finishReason }: Pick<PolicyReply, "ids" | "text" | "finishReason">,
  { tokenizer, stopIds }: PolicyLanguage,
): string {
  if (finishReason === "stop_string") return text;
  const isStopped = stopIds.includes(ids.at(-1) ?? -1);
  return tokenizer.decode(isStopped ? ids.slice(0, -1) : ids);
}

function finishOf(
  { finishReason }: PolicyReply,
  { toolCalls }: AssistantMessage,
): ChatReply["finishReason"] {
  if (finishReason === "cancelled") return "cancelled";
  if (finishReason === "length" || finishReason === "repetition") return "length";
  return toolCalls ? "tool_calls" : "stop";
}

function withoutCalls(): ForgeError {
  return new ForgeError({
    code: "template_invalid",
    what: "the model's chat template leaves calls of tools out, and its agent has tools.",
    why: "the model would be shown a chat in which it has called nothing",
    fix: "use a model that was trained with tools, or put a chat_template.jinja that writes tool_calls beside it",
  });
}

function withoutTemplate(): ForgeError {
  return new ForgeError({
    code: "template_invalid",
    what: "the model has no chat template, and its agent chats.",
    fix: "use a model with a chat template; for a new one set `chat: true` in model.create.tokenizer",
  });
}
