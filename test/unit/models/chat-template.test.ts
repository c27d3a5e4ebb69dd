import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type ChatInput, ChatTemplate } from "../../../engine/models/chat-template.ts";
import { ABSENT } from "../../support/assets.ts";
import { codeOf } from "../../support/errors.ts";
import { tokenizerFolder } from "../../support/tokenizers.ts";

const golden = (name: string): string =>
  readFileSync(resolve(import.meta.dirname, "../../golden/chat-templates", name), "utf8");

/** A chat as transformers' apply_chat_template takes it. */
interface Chat {
  readonly name: string;
  readonly add_generation_prompt?: boolean;
  readonly [argument: string]: unknown;
}

interface Outcome {
  readonly text?: string;
  readonly error?: string;
}

const chats: readonly Chat[] = JSON.parse(golden("chats.json"));

function inputOf({ name: _, add_generation_prompt, ...rest }: Chat): ChatInput {
  const input = rest as unknown as ChatInput;
  return { ...input, addGenerationPrompt: add_generation_prompt ?? false };
}

function templateOf(template: unknown): ChatTemplate {
  const made = ChatTemplate.from({ config: { chat_template: template, bos_token: "<s>" } });
  if (!made) throw new Error("no template");
  return made;
}

const hello = { messages: [{ role: "user", content: "hello" }] };

describe.each(["qwen3", "llama3.1", "minimind"])("the chat template of %s", (name) => {
  const { present, config } = tokenizerFolder(name);
  const { outcomes } = JSON.parse(golden(`${name}.json`)) as { outcomes: Record<string, Outcome> };
  const cases = chats.map((chat) => [chat.name, chat, outcomes[chat.name] as Outcome] as const);

  it.skipIf(!present).each(cases)(
    `renders as transformers${present ? "" : ABSENT}: %s`,
    (_, chat, outcome) => {
      const template = ChatTemplate.from({ config: config() }) as ChatTemplate;
      const render = (): string => template.render(inputOf(chat));
      if (outcome.text === undefined)
        expect(codeOf(render)).toMatch(/^(template|argument)_invalid$/);
      else expect(render()).toBe(outcome.text);
    },
  );
});

describe("ChatTemplate", () => {
  it("is nothing without a template", () => {
    expect(ChatTemplate.from({})).toBeUndefined();
    expect(ChatTemplate.from({ config: '{"chat_template": null}' })).toBeUndefined();
  });

  it("takes chat_template.jinja before tokenizer_config.json", () => {
    const template = ChatTemplate.from({ template: "file", config: { chat_template: "config" } });
    expect(template?.render(hello)).toBe("file");
  });

  it("chooses among templates as transformers does", () => {
    const list = [
      { name: "rag", template: "{% unknown %}" },
      { name: "default", template: "default {{ tools is none }}" },
      { name: "tool_use", template: "tools {{ tools | length }}" },
    ];
    const template = templateOf(list);
    expect(template.render(hello)).toBe("default True");
    expect(template.render({ ...hello, tools: [] })).toBe("tools 0");
    expect(templateOf(list.slice(0, 2)).render({ ...hello, tools: [{}] })).toBe("default False");
  });

  it("knows special tokens, further variables and the time", () => {
    const config = {
      chat_template:
        "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ x }}{{ strftime_now('%d %b %Y') }}",
      bos_token: "<s>",
      eos_token: { content: "</s>", lstrip: false },
      pad_token: null,
    };
    const now = (): Date => new Date(2024, 6, 26);
    expect(ChatTemplate.from({ config, now })?.render({ ...hello, x: [1] })).toBe(
      "<s></s>False[1]26 Jul 2024",
    );
    expect(ChatTemplate.from({ config, now })?.render({ ...hello, bos_token: "B" })).toMatch(
      /^B<\/s>/,
    );
  });

  it("leaves out what is undefined", () => {
    const template = templateOf("{{ messages | tojson }}{{ x is defined }}");
    const messages = [{ role: "user", content: "a", tool_calls: undefined }];
    expect(template.render({ messages, x: undefined })).toBe(
      '[{"role": "user", "content": "a"}]False',
    );
  });

  it("renders again and again, without memory", () => {
    const template = templateOf(
      "{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{% set y = 1 %}",
    );
    expect([1, 2, 3].map(() => template.render(hello))).toEqual(["1", "1", "1"]);
  });

  it.each([
    ["no JSON", { config: "{" }],
    ["no object", { config: "3" }],
    ["a number", { config: { chat_template: 3 } }],
    ["a list without a default", { config: { chat_template: [{ name: "rag", template: "x" }] } }],
    ["what is no list of templates", { config: { chat_template: [null, 3, { name: "default" }] } }],
    ["a tag without end", { template: "a {{ b" }],
    ["a string without end", { template: "a {{ 'b }}" }],
    ["a block without end", { template: "{% if a %}b" }],
    ["an end without block", { template: "{% endfor %}" }],
    ["a tag that is not known", { template: "{% include 'x' %}" }],
    ["a thousand spaces", { template: `a${" ".repeat(1024)}b` }],
    ["a megabyte", { template: "ab".repeat(600_000) }],
    ["deep nesting", { template: `{{ ${"(".repeat(50_000)}` }],
  ])("refuses %s", (_, files) => {
    expect(codeOf(() => ChatTemplate.from(files))).toBe("template_invalid");
  });

  it.each([
    ["what the template raises", "{{ raise_exception('roles must alternate') }}"],
    ["a missing variable", "{{ missing.field }}"],
    ["text and a list added", "{{ 'a' + messages }}"],
    ["an unknown filter", "{{ messages | batch(2) }}"],
    ["an unknown test", "{{ messages is divisibleby }}"],
    ["an unknown method", "{{ 'a'.encode() }}"],
    ["break outside of a loop", "{% break %}"],
    ["a long range", "{{ range(1000000000) }}"],
    [
      "loops in loops",
      "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    ],
    ["a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"],
    [
      "text that doubles",
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    ],
    [
      "lists that double",
      "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    ],
  ])("stops at %s", (_, template) => {
    const made = templateOf(template);
    expect(codeOf(() => made.render(hello))).toBe("template_invalid");
  });

  it.each([
    ["chat_template.jinja, line 3", "a\n\n{{ 1 +* 2 }}"],
    ["chat_template.jinja, line 2", "a\n{{ '\\q' }}"],
    ["chat_template.jinja, line 2", "a\n{{ 'x"],
    ["chat_template.jinja, line 4", "{# a\n b #}\n{% set x = 1 -%}\n{% for %}"],
    ["chat_template.jinja, line 3", "{% if messages %}\n\n{{ x.y }}{% endif %}"],
    [
      "chat_template.jinja, line 5",
      "{% generation %}\n{% if false %}a\n{% elif true -%}\n{% for m in messages %}\n{{ m | bad }}\n{% endfor %}{% endif %}{% endgeneration %}",
    ],
    [
      "chat_template.jinja, line 2",
      "{% macro f() %}\n{{ raise_exception('no') }}{% endmacro %}\n{{ f() }}",
    ],
  ])("says where: %s", (where, template) => {
    expect(() => ChatTemplate.from({ template })?.render(hello)).toThrow(where);
  });

  it("refuses messages that are none, or no JSON", () => {
    const template = templateOf("{{ messages | length }}");
    const cyclic: { role: string; content?: unknown } = { role: "user" };
    cyclic.content = cyclic;
    expect(codeOf(() => template.render({ messages: [] }))).toBe("argument_invalid");
    expect(codeOf(() => template.render({ messages: [cyclic] }))).toBe("argument_invalid");
    expect(codeOf(() => template.render({ messages: [{ role: "a", n: 1n }] }))).toBe(
      "argument_invalid",
    );
  });
});
