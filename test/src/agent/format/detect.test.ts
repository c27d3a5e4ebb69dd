import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../../engine/models/chat-template.ts";
import { Tokenizer } from "../../../../engine/models/tokenizer.ts";
import { toolCallFormat } from "../../../../src/agent/format/detect.ts";
import type { PolicyLanguage } from "../../../../src/agent/policy.ts";
import { newTokenizer } from "../../../../src/train/policy/new-tokenizer.ts";
import { ABSENT } from "../../../support/assets.ts";
import { tokenizerFolder } from "../../../support/tokenizers.ts";
import { LLAMA_TEMPLATE } from "../../../support/tool-chat.ts";

function nameFor(tokenizer: Tokenizer, template?: ChatTemplate): string {
  const language: PolicyLanguage = { tokenizer, template, stopIds: [], length: 100 };
  return toolCallFormat(language).name;
}

function madeTokenizer(chat: boolean, ...more: string[]): Tokenizer {
  const { files, tokenizer } = newTokenizer({ kind: "bytes", chat });
  if (more.length === 0) return tokenizer;
  const json = files["tokenizer.json"] as { added_tokens: object[] };
  const added_tokens = more.map((content, i) => ({
    ...json.added_tokens[0],
    content,
    id: 300 + i,
  }));
  return Tokenizer.from({ tokenizer: { ...json, added_tokens } });
}

function templateOf(template: string): ChatTemplate {
  return ChatTemplate.from({ template }) as ChatTemplate;
}

const CHAT = templateOf("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");

describe("the format of a policy", () => {
  const anyTokenizer = madeTokenizer(false);

  for (const { name, present, config } of ["qwen3", "minimind"].map(tokenizerFolder)) {
    it.skipIf(!present)(`is seen in the template of ${name}${present ? "" : ABSENT}`, () => {
      expect(nameFor(anyTokenizer, ChatTemplate.from({ config: config() }))).toBe("hermes");
    });
  }

  it("is seen in a template of Llama's kind", () => {
    expect(nameFor(anyTokenizer, LLAMA_TEMPLATE)).toBe("llama3");
  });

  it("is plain where chats were asked for", () => {
    const { tokenizer, files } = newTokenizer({ kind: "bytes", chat: true });
    expect(nameFor(tokenizer, templateOf(files["chat_template.jinja"] as string))).toBe("plain");
  });

  it.each([
    ["has no calls", CHAT],
    ["is of a base model", ChatTemplate.from({ config: tokenizerFolder("llama3.1").config() })],
    ["refuses calls", templateOf("{{ raise_exception('no') }}")],
    ["is not there", undefined],
  ])("is told by special tokens where the template %s", (_, template) => {
    expect(nameFor(madeTokenizer(true), template)).toBe("plain");
    expect(nameFor(madeTokenizer(false, "<|python_tag|>"), template)).toBe("llama3");
    expect(nameFor(madeTokenizer(false, "<user>", "<call>"), template)).toBe("hermes");
    expect(nameFor(anyTokenizer, template)).toBe("hermes");
  });

  it("is that of the template, whatever the tokens", () => {
    expect(nameFor(madeTokenizer(true), LLAMA_TEMPLATE)).toBe("llama3");
  });
});
