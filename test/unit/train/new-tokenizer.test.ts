import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../engine/models/chat-template.ts";
import { PLAIN_TOKENS } from "../../../src/agent/format/plain.ts";
import { type NewTokenizer, newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";

function templateOf({ files }: NewTokenizer): ChatTemplate | undefined {
  const { "chat_template.jinja": template, "tokenizer_config.json": config } = files;
  return ChatTemplate.from({
    ...(template && { template: template as string }),
    config: config as object,
  });
}

describe.each([
  { kind: "bytes" as const },
  { kind: "characters" as const, alphabet: "0123456789+-*/ calculate".replace(/(.)(?=.*\1)/g, "") },
])("a new tokenizer of $kind", (config) => {
  it("has tokens and a template for chats where they are asked for", () => {
    const made = newTokenizer({ ...config, chat: true });
    const { tokenizer } = made;
    const text = "<user>7*8<assistant><call>calculate 7*8<eos>";
    const ids = tokenizer.encode(text);
    const special = ids.filter((id) => tokenizer.isSpecial(id));
    expect(special.map((id) => tokenizer.tokenOf(id))).toEqual([
      "<user>",
      "<assistant>",
      "<call>",
      "<eos>",
    ]);
    expect(ids).toHaveLength(3 + "calculate 7*8".length + 4);
    expect(tokenizer.decode(ids)).toBe(text);
    const messages = [{ role: "user", content: "7*8" }];
    expect(templateOf(made)?.render({ messages, addGenerationPrompt: true })).toBe(
      "<user>7*8<assistant>",
    );
  });

  it("keeps its other ids, and is as before without", () => {
    const [plain, chat] = [newTokenizer(config), newTokenizer({ ...config, chat: true })];
    const { eosId, padId, vocabSize } = plain.tokenizer;
    expect(chat.tokenizer).toMatchObject({
      eosId,
      padId,
      vocabSize: vocabSize + PLAIN_TOKENS.length,
    });
    expect(templateOf(plain)).toBeUndefined();
    expect(Object.keys(plain.files)).not.toContain("chat_template.jinja");
  });
});
