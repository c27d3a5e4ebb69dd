import { describe, expect, it } from "vitest";
import {
  byteTokenizer,
  ChatTemplate,
  characterTokenizer,
  Detokenizer,
  StopStrings,
  Tokenizer,
  trainBpe,
} from "../../../engine/index.ts";

const specialTokens = ["<|start|>", "<|end|>"];
const config = {
  eos_token: "<|end|>",
  chat_template:
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content.strip('\n') }}{{ eos_token }}\n{% endfor %}" +
    "{% if tools %}{{ tools | tojson }}\n{% endif %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
};
const TEXT = "Once upon a time, 从前 есть 👩‍👩‍👧 e\u0301, once upon a time.\n";

const LATER = `usersistant Grüezi Hoi STOP du [{"name": "f<g>"}]`;

const tokenizers = {
  bytes: byteTokenizer({ specialTokens }),
  BPE: trainBpe([TEXT, TEXT], { vocabSize: 300, specialTokens }),
  characters: characterTokenizer([...new Set(TEXT + LATER)].join(""), { specialTokens }),
};

describe.each(Object.entries(tokenizers))("text as %s", (_, json) => {
  const tokenizer = Tokenizer.from({ tokenizer: JSON.stringify(json), config });

  it("comes back, whole and in pieces", () => {
    const ids = tokenizer.encode(TEXT);
    const detokenizer = new Detokenizer(tokenizer);
    const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
    expect(tokenizer.decode(ids)).toBe(TEXT);
    expect(pieces.join("")).toBe(TEXT);
    expect(pieces.join("|")).not.toMatch(/\ufffd|\p{Surrogate}/u);
  });

  it("is rendered from a chat, generated, and stopped", () => {
    const chat = ChatTemplate.from({ config });
    const prompt = chat?.render({
      messages: [{ role: "user", content: "\n  Grüezi \n" }],
      tools: [{ name: "f<g>" }],
      addGenerationPrompt: true,
    });
    expect(prompt).toBe(
      '<|start|>user\n  Grüezi <|end|>\n[{"name": "f<g>"}]\n<|start|>assistant\n',
    );
    const ids = tokenizer.encode(`${prompt}Hoi STOP du`);
    expect(ids.filter((id) => id === tokenizer.eosId)).toHaveLength(1);
    const detokenizer = new Detokenizer(tokenizer, { skipSpecialTokens: true });
    const search = new StopStrings(["STOP", "du"]);
    const results = ids.map((id) => search.push(detokenizer.push(id)));
    expect(results.map(({ text }) => text).join("")).toMatch(/assistant\nHoi $/);
    expect(results.at(-1)?.stop).toBe("STOP");
  });
});
