/** Chats as token ids, by a model's chat template. */
import { toTemplateMessages, toTemplateTools } from "../format/template-messages.ts";
import type { Message, ToolDefinition } from "../message.ts";
import type { PolicyLanguage, PolicyTemplate } from "../policy.ts";
import type { AnsweredChat } from "./history.ts";
import { Quotation } from "./quotation.ts";

/** A prompt. */
export interface WrittenPrompt {
  readonly ids: readonly number[];
  /** Whether it begins with the ids of the chat that it continues. */
  readonly isAppended: boolean;
}

/** Writes the prompts of an episode. */
export class PromptWriter {
  readonly #language: PolicyLanguage;
  readonly #template: PolicyTemplate;
  /** Texts of the special tokens that end answers, where the template writes one behind an answer. */
  readonly #ends: readonly string[];
  readonly #quotation: Quotation;

  constructor(language: PolicyLanguage, template: PolicyTemplate) {
    this.#language = language;
    this.#template = template;
    this.#quotation = new Quotation(language.tokenizer);
    this.#ends = endsOfAnswers(language, template);
  }

  /**
   * The prompt that asks for what comes next.
   *
   * Behind a chat that it continues it is the chat's ids and those of what the template writes after the answer: nothing that
   * was fed or sampled is tokenised again, however the template would spell it. Where the template now writes the chat
   * itself otherwise (it leaves former thoughts out, say) it is right, and all is tokenised.
   */
  prompt(
    messages: readonly Message[],
    tools: readonly ToolDefinition[],
    continued?: AnsweredChat,
  ): WrittenPrompt {
    if (continued) {
      const known = continued.messages;
      const before = this.#render(known, tools, false);
      // the chat as it is known, thoughts and all
      const now = this.#render([...known, ...messages.slice(known.length)], tools, true);
      if (now.startsWith(before)) {
        const rest = this.#encode(
          this.#restOfAnswer(before, continued.ids) + now.slice(before.length),
        );
        return { ids: [...continued.ids, ...rest], isAppended: true };
      }
    }
    return { ids: this.#encode(this.#render(messages, tools, true)), isAppended: false };
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
    return this.#template.render({
      messages: toTemplateMessages(messages.map((each) => this.#quotation.quoted(each))),
      ...(tools.length > 0 && { tools: toTemplateTools(tools) }),
      addGenerationPrompt,
    });
  }

  /** What the template writes from the end of an answer on, less the token that ends it where it was sampled. */
  #restOfAnswer(text: string, ids: readonly number[]): string {
    const end = lastOf(text, this.#ends);
    if (!end) return "";
    const last = this.#language.tokenizer.tokenOf(ids.at(-1) ?? -1);
    return text.slice(last === end.text ? end.at + end.text.length : end.at);
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
  const end = firstOf(rest, special);
  // an answer that calls a tool may end with another one
  const stops = stopIds.filter((id) => tokenizer.isSpecial(id)).map((id) => tokenizer.tokenOf(id));
  return end === undefined
    ? []
    : [...new Set([end, ...stops.filter((stop) => stop !== undefined)])];
}

/** The one of some texts that comes first. */
function firstOf(text: string, parts: readonly string[]): string | undefined {
  let [first, at] = [undefined as string | undefined, Number.POSITIVE_INFINITY];
  for (const part of parts) {
    const found = part === "" ? -1 : text.indexOf(part);
    if (found >= 0 && found < at) [first, at] = [part, found];
  }
  return first;
}

/** The one of some texts that comes last. */
function lastOf(text: string, parts: readonly string[]): { text: string; at: number } | undefined {
  let last: { text: string; at: number } | undefined;
  for (const part of parts) {
    const at = text.lastIndexOf(part);
    if (at > (last?.at ?? -1)) last = { text: part, at };
  }
  return last;
}
