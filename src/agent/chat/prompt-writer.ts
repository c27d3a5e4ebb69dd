/** Chats as token ids, by a model's chat template. */
import { toTemplateMessages, toTemplateTools } from "../format/template-messages.ts";
import type { AssistantMessage, Message, ToolCall, ToolDefinition } from "../message.ts";
import type { PolicyLanguage, PolicyTemplate } from "../policy.ts";
import type { AnsweredChat } from "./history.ts";
import { Quotation } from "./quotation.ts";
import { TextCache } from "./text-cache.ts";

/** Writes the prompts of an episode. */
export class PromptWriter {
  readonly #language: PolicyLanguage;
  readonly #template: PolicyTemplate;
  /** Texts of the special tokens that end answers, where the template writes one behind an answer. */
  readonly #ends: readonly string[];
  readonly #quotation: Quotation;
  readonly #texts = new TextCache();

  constructor(language: PolicyLanguage, template: PolicyTemplate) {
    this.#language = language;
    this.#template = template;
    this.#quotation = new Quotation(language.tokenizer);
    this.#ends = endsOfAnswers(language, template);
  }

  /**
   * The ids of the prompt that asks for what comes next.
   *
   * Behind a chat that it continues it is the chat's ids and those of what the template writes after the answer: nothing that
   * was fed or sampled is tokenised again, however the template would spell it. Where the template now writes what came
   * before otherwise, or leaves out what the answer had thought, it is right, and all is tokenised.
   */
  prompt(
    messages: readonly Message[],
    tools: readonly ToolDefinition[],
    continued?: AnsweredChat,
  ): readonly number[] {
    if (!continued) return this.#encode(this.#render(messages, tools, true));
    const { messages: known, ids } = continued;
    // as it is known, thoughts and all, whatever a client has left out
    const now = this.#render([...known, ...messages.slice(known.length)], tools, true);
    const rest = this.#textBehind(continued, now, tools);
    return rest === undefined ? this.#encode(now) : [...ids, ...this.#encode(rest)];
  }

  /** The ids that the template would have an answer be, with the token that ends it. */
  answer(messages: readonly Message[], tools: readonly ToolDefinition[]): readonly number[] {
    const prompt = this.#render(messages.slice(0, -1), tools, true);
    const whole = this.#render(messages, tools, false);
    // a template that puts something else behind the prompt still says the answer after the same words
    let at = 0;
    while (at < prompt.length && prompt[at] === whole[at]) at++;
    const rest = whole.slice(at);
    const end = lastOf(rest, this.#ends);
    return this.#encode(end ? rest.slice(0, end.at + end.text.length) : rest);
  }

  #render(
    messages: readonly Message[],
    tools: readonly ToolDefinition[],
    addGenerationPrompt: boolean,
  ): string {
    const key = JSON.stringify([addGenerationPrompt, messages, tools]);
    return this.#texts.take(key, () => this.#rendered(messages, tools, addGenerationPrompt));
  }

  #rendered(
    messages: readonly Message[],
    tools: readonly ToolDefinition[],
    addGenerationPrompt: boolean,
  ): string {
    const quoted = messages.map((each) => this.#quotation.quoted(each));
    const render = (shown: readonly Message[]): string =>
      this.#template.render({
        messages: toTemplateMessages(shown),
        ...(tools.length > 0 && { tools: toTemplateTools(tools) }),
        addGenerationPrompt,
      });
    try {
      return render(quoted);
    } catch (error) {
      // Llama 3.1's refuses several calls at once, which its models write all the same. Those that were sampled stay in the
      // ids; where all is written anew, the first is shown, and the answers of all.
      const hasSeveral = quoted.some((each) => callsOf(each).length > 1);
      if (!hasSeveral) throw error;
      return render(quoted.map(withFirstCall));
    }
  }

  /**
   * What the template writes behind the ids of a chat, of a text `now` that continues it; undefined where it is no longer the
   * same chat.
   *
   * How it writes the answer itself is of no interest. It may well depend on what follows: Qwen3's puts empty thoughts into
   * an answer that is the last message, and into no other.
   */
  #textBehind(
    { messages: known, ids }: AnsweredChat,
    now: string,
    tools: readonly ToolDefinition[],
  ): string | undefined {
    const answer = known.at(-1) as AssistantMessage;
    const from = this.#lengthWithin(now, known.slice(0, -1), tools);
    if (from === undefined) return undefined;
    if (this.#ends.length === 0) {
      const whole = this.#render(known, tools, false);
      return now.startsWith(whole) ? now.slice(whole.length) : undefined;
    }
    const end = firstOf(now, this.#ends, from);
    const said = now.slice(from, end?.at);
    if (!end || !said.includes(answer.reasoning?.trim() ?? "")) return undefined;
    const last = this.#language.tokenizer.tokenOf(ids.at(-1) ?? -1);
    return now.slice(last === end.text ? end.at + end.text.length : end.at);
  }

  /** Length of the text of messages with which `now` begins; undefined where it begins otherwise. */
  #lengthWithin(
    now: string,
    messages: readonly Message[],
    tools: readonly ToolDefinition[],
  ): number | undefined {
    // the prompt that was asked with is at hand, and nearly always opens the answer as the chat goes on to write it
    for (const addGenerationPrompt of [true, false]) {
      const text = this.#render(messages, tools, addGenerationPrompt);
      if (now.startsWith(text)) return text.length;
    }
    return undefined;
  }

  #encode(text: string): number[] {
    return this.#language.tokenizer.encode(text, { addSpecialTokens: false });
  }
}

/** The special tokens that a template ends answers with; none for one that ends them with nothing special. */
function endsOfAnswers({ tokenizer, stopIds }: PolicyLanguage, template: PolicyTemplate): string[] {
  const [question, answer] = ["question", "an answer without another"];
  let text: string;
  try {
    text = template.render({
      messages: [
        { role: "user", content: question },
        { role: "assistant", content: answer },
      ],
    });
  } catch {
    // one that refuses the plainest chat tells nothing
    return [];
  }
  const rest = text.slice(text.lastIndexOf(answer) + answer.length);
  const special = tokenizer.specialIds.map((id) => tokenizer.tokenOf(id) ?? "");
  const end = firstOf(rest, special)?.text;
  // an answer that calls a tool may end with another one
  const stops = stopIds.filter((id) => tokenizer.isSpecial(id)).map((id) => tokenizer.tokenOf(id));
  return end === undefined
    ? []
    : [...new Set([end, ...stops.filter((stop) => stop !== undefined)])];
}

function callsOf(message: Message): readonly ToolCall[] {
  return message.role === "assistant" ? (message.toolCalls ?? []) : [];
}

function withFirstCall(message: Message): Message {
  const calls = callsOf(message);
  return calls.length > 1
    ? { ...(message as AssistantMessage), toolCalls: calls.slice(0, 1) }
    : message;
}

/** A text within another. */
interface Place {
  readonly text: string;
  readonly at: number;
}

/** The one of some texts that comes first. */
function firstOf(text: string, parts: readonly string[], from = 0): Place | undefined {
  let first: Place | undefined;
  for (const part of parts) {
    const at = part === "" ? -1 : text.indexOf(part, from);
    if (at >= 0 && at < (first?.at ?? Number.POSITIVE_INFINITY)) first = { text: part, at };
  }
  return first;
}

/** The one of some texts that comes last. */
function lastOf(text: string, parts: readonly string[]): Place | undefined {
  let last: Place | undefined;
  for (const part of parts) {
    const at = text.lastIndexOf(part);
    if (at > (last?.at ?? -1)) last = { text: part, at };
  }
  return last;
}
