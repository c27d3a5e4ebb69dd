/** Chat templates: messages to the text that a model was trained on. */
import { ForgeError } from "../error.ts";
import { TemplateError } from "./jinja/source.ts";
import { strftime } from "./jinja/strftime.ts";
import { JinjaTemplate } from "./jinja/template.ts";

/** One message of a chat. Templates read further fields too, such as `reasoning_content`. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly tool_calls?: readonly unknown[] | undefined;
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

/** Special tokens that are variables of every template. */
const TOKENS = "bos_token eos_token unk_token sep_token pad_token cls_token mask_token".split(" ");

/** Names that messages have for what the model thought, the first as templates read it. */
const REASONING = ["reasoning_content", "thinking", "reasoning"];

/**
 * A chat template, compiled once. What transformers' `apply_chat_template` renders is rendered here to the same text.
 *
 * JSON is the limit: a number such as 1.0 is an integer to JavaScript, and prints as 1.
 */
export class ChatTemplate {
  readonly #file: string;
  /** "default", and maybe "tool_use". */
  readonly #templates: ReadonlyMap<string, JinjaTemplate>;
  readonly #variables: Readonly<Record<string, unknown>>;

  private constructor(
    file: string,
    templates: ReadonlyMap<string, JinjaTemplate>,
    variables: Readonly<Record<string, unknown>>,
  ) {
    this.#file = file;
    this.#templates = templates;
    this.#variables = variables;
  }

  /**
   * The chat template in a model's files, or nothing if they have none.
   *
   * Errors    `template_invalid`, naming the file, and the line where it is known.
   */
  static from({
    template,
    config = {},
    now = () => new Date(),
  }: ChatTemplateFiles): ChatTemplate | undefined {
    const settings = settingsOf(config);
    const inConfig = settings["chat_template"] ?? undefined;
    const file =
      template === undefined ? "tokenizer_config.json: chat_template" : "chat_template.jinja";
    const source = template ?? inConfig;
    if (source === undefined) return undefined;
    const templates = Array.from(
      sourcesOf(source, file),
      ([name, text]) =>
        [name, report(file, "cannot be read", () => new JinjaTemplate(text))] as const,
    );
    const tokens = TOKENS.map((name) => [name, contentOf(settings[name])] as const);
    return new ChatTemplate(file, new Map(templates), {
      ...Object.fromEntries(tokens.filter(([, content]) => content !== undefined)),
      strftime_now: (format: string) => strftime(now(), format),
    });
  }

  /**
   * The text of a chat.
   *
   * Errors    `template_invalid` for what the template raises, what is not supported, and what does not end;
   *           `argument_invalid` for no messages, and for input that is not JSON.
   */
  render({ messages, tools, addGenerationPrompt = false, ...variables }: ChatInput): string {
    const template =
      (tools && this.#templates.get("tool_use")) ??
      (this.#templates.get("default") as JinjaTemplate);
    if (messages.length === 0) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "ChatTemplate: there are no messages.",
      });
    }
    const input = plain({ documents: null, ...variables, messages, tools: tools ?? null });
    const all = {
      ...this.#variables,
      ...input,
      messages: (input["messages"] as ChatMessage[]).map(normalized),
      add_generation_prompt: addGenerationPrompt,
    };
    return report(this.#file, "does not render these messages", () => template.render(all));
  }
}

function settingsOf(config: object | string): Readonly<Record<string, unknown>> {
  try {
    const settings: unknown = typeof config === "string" ? JSON.parse(config) : config;
    if (typeof settings === "object" && settings !== null)
      return settings as Record<string, unknown>;
  } catch (cause) {
    throw templateInvalid("tokenizer_config.json is no JSON.", String(cause), cause);
  }
  throw templateInvalid("tokenizer_config.json is no JSON object.", config as string);
}

/** The templates that transformers would choose from, by name. */
function sourcesOf(source: unknown, file: string): Map<string, string> {
  if (typeof source === "string") return new Map([["default", source]]);
  const list: readonly unknown[] = Array.isArray(source) ? source : [];
  const named = list.map((each) => {
    const { name, template } = (each ?? {}) as {
      readonly name?: unknown;
      readonly template?: unknown;
    };
    return [name, template] as const;
  });
  const chosen = named.filter(
    (each): each is readonly [string, string] =>
      (each[0] === "default" || each[0] === "tool_use") && typeof each[1] === "string",
  );
  const templates = new Map(chosen);
  if (templates.has("default")) return templates;
  throw templateInvalid(
    `${file} is no template, and no list with one named "default".`,
    JSON.stringify(source)?.slice(0, 120),
  );
}

/**
 * A message as transformers hands it to templates: without fields that are null, since many templates print them as
 * None, and with the model's thoughts under the standard name and that of gpt-oss, whichever name they came under.
 */
function normalized(message: ChatMessage): Record<string, unknown> {
  const given = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null));
  const thoughts = REASONING.map((name) => given[name]).find((value) => value !== undefined);
  if (thoughts === undefined) return given;
  return { thinking: thoughts, ...given, reasoning_content: thoughts };
}

/** Input as JSON, without what is undefined. */
function plain<T extends object>(input: T): Record<string, unknown> {
  try {
    return JSON.parse(JSON.stringify(input));
  } catch (cause) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "ChatTemplate: the messages, tools or variables are no JSON.",
      got: String(cause),
      cause,
    });
  }
}

function report<T>(file: string, problem: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const line = cause instanceof TemplateError ? cause.line : undefined;
    const at = line === undefined ? file : `${file}, line ${line}`;
    throw templateInvalid(`${at}: the template ${problem}.`, (cause as Error).message, cause);
  }
}

function templateInvalid(what: string, got: string | undefined, cause?: unknown): ForgeError {
  return new ForgeError({
    code: "template_invalid",
    what,
    ...(got !== undefined && { got }),
    fix: "see what transformers' apply_chat_template says to the same input",
    cause,
  });
}

/** A special token is named by its text, or by an object that has it. */
function contentOf(token: unknown): string | undefined {
  const content =
    typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return typeof content === "string" ? content : undefined;
}
