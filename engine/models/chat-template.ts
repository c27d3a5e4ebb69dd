/** Chat templates: messages to the text that a model was trained on. */
import * as jinja from "@huggingface/jinja";
import { ForgeError } from "../error.ts";

/** One message of a chat. Templates read further fields too, such as `reasoning_content`. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly tool_calls?: readonly unknown[];
  readonly [field: string]: unknown;
}

/** What a chat template is rendered with. Further fields are variables of the template, such as `enable_thinking`. */
export interface ChatInput {
  readonly messages: readonly ChatMessage[];
  /** JSON schemas of the tools that the model may call. */
  readonly tools?: readonly object[];
  /** Whether the text ends where the answer begins. Default false. */
  readonly addGenerationPrompt?: boolean;
  readonly [variable: string]: unknown;
}

/** The files of a chat template, as objects or as their text. */
export interface ChatTemplateFiles {
  /** chat_template.jinja, which goes before what tokenizer_config.json holds. */
  readonly template?: string;
  /** tokenizer_config.json: `chat_template`, and the special tokens that templates write. */
  readonly config?: object | string;
  /** The clock of `strftime_now`. Default the machine's. */
  readonly now?: () => Date;
}

interface Compiled {
  render(variables: object): string;
}

/** A chat template, compiled once. */
export class ChatTemplate {
  readonly #compiled: Compiled;
  readonly #tokens: Record<string, unknown>;

  private constructor(compiled: Compiled, tokens: Record<string, unknown>) {
    this.#compiled = compiled;
    this.#tokens = tokens;
  }

  /** The chat template in a model's files, or nothing if they have none. */
  static from({ template, config = {} }: ChatTemplateFiles): ChatTemplate | undefined {
    const settings = typeof config === "string" ? JSON.parse(config) : config;
    const source = template ?? settings.chat_template;
    if (typeof source !== "string") return undefined;
    try {
      const Template = jinja.Template as unknown as new (source: string) => Compiled;
      return new ChatTemplate(new Template(source), settings);
    } catch (cause) {
      throw new ForgeError({
        code: "template_invalid",
        what: "the chat template is invalid.",
        cause,
      });
    }
  }

  /** The text of a chat. */
  render({ messages, tools, addGenerationPrompt = false, ...variables }: ChatInput): string {
    return this.#compiled.render({
      ...this.#tokens,
      messages,
      tools: tools ?? null,
      add_generation_prompt: addGenerationPrompt,
      ...variables,
    });
  }
}
