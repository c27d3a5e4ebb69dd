import { describe, expect, it } from "vitest";
import { type ChatMessage, ChatTemplate, Tokenizer } from "../../../engine/index.ts";
import { byteTokenizer } from "../../../engine/models/byte-tokenizer.ts";
import { buildForest } from "../../../src/pool/forest.ts";
import type { SftSample } from "../../../src/train/supervised/sft.ts";
import {
  sampleOfDemonstration,
  samplesOfConversation,
} from "../../../src/train/supervised/sft-samples.ts";
import { ABSENT } from "../../support/assets.ts";
import { codeOf } from "../../support/errors.ts";
import { tokenizerFolder } from "../../support/tokenizers.ts";

const BYTES = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: ["<|end|>"] }) });
const END = 256;

const CHAT: readonly ChatMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello!\n" },
  { role: "user", content: "2 + 2?" },
  { role: "assistant", content: "4" },
];

/** What a sample is not trained on, and what it is, as texts. */
function parts(tokenizer: Tokenizer, { ids, trained }: SftSample): [string, string] {
  expect(trained).toHaveLength(1);
  const [from = 0, to = 0] = trained[0] ?? [];
  expect(to).toBe(ids.length);
  return [tokenizer.decode(ids.subarray(0, from)), tokenizer.decode(ids.subarray(from))];
}

/** A published template, with a tokenizer of bytes that has its special tokens: a real vocabulary takes seconds to read. */
function published(name: string, specialTokens: string[]): [Tokenizer, ChatTemplate] {
  const config = tokenizerFolder(name).config();
  const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens }) });
  return [tokenizer, ChatTemplate.from({ config }) as ChatTemplate];
}

const LLAMA = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
const QWEN = ["<|im_start|>", "<|im_end|>"];

function templateOf(source: string): ChatTemplate {
  return ChatTemplate.from({ template: source }) as ChatTemplate;
}

describe("a demonstration", () => {
  it("is trained on the response and the id that ends it", () => {
    const sample = sampleOfDemonstration(BYTES, { prompt: "ab", response: "cd" }, END);
    expect(sample).toEqual({ ids: Uint32Array.of(97, 98, 99, 100, END), trained: [[2, 5]] });
  });

  it("begins with token 1 where there is no prompt", () => {
    const sample = sampleOfDemonstration(BYTES, { prompt: "", response: "cd" }, END);
    expect(sample).toEqual({ ids: Uint32Array.of(99, 100, END), trained: [[1, 3]] });
  });

  it("ends with the tokenizer's own end, if there is one", () => {
    const sample = sampleOfDemonstration(BYTES, { prompt: "a", response: "b" });
    expect([...sample.ids]).toEqual([97, 98]);
    const named = Tokenizer.from({
      tokenizer: byteTokenizer({ specialTokens: ["<|end|>"] }),
      config: { eos_token: "<|end|>" },
    });
    expect([...sampleOfDemonstration(named, { prompt: "a", response: "b" }).ids]).toEqual([
      97,
      98,
      END,
    ]);
  });

  it("is refused where nothing could be trained", () => {
    const empty = { prompt: "", response: "" };
    expect(codeOf(() => sampleOfDemonstration(BYTES, empty, END))).toBe("argument_invalid");
    expect(codeOf(() => sampleOfDemonstration(BYTES, { prompt: "ab", response: "" }))).toBe(
      "argument_invalid",
    );
  });
});

describe("a conversation", () => {
  const SYSTEM =
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>";

  it("gives a sample for each answer, trained on that and its end", () => {
    const [tokenizer, template] = published("llama3.1", LLAMA);
    const samples = samplesOfConversation(tokenizer, template, CHAT);
    const turn = (role: string): string => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
    const first = `${SYSTEM}${turn("user")}Hi<|eot_id|>${turn("assistant")}`;
    const second = `${first}Hello!<|eot_id|>${turn("user")}2 + 2?<|eot_id|>${turn("assistant")}`;
    expect(samples.map((sample) => parts(tokenizer, sample))).toEqual([
      [first, "Hello!<|eot_id|>"],
      [second, "4<|eot_id|>"],
    ]);
    // history stays: together they cost no more than the last one
    expect(buildForest(samples).report.tree.tokens).toBe(samples[1]?.ids.length);
  });

  it("does not train on what stands behind the end of an answer", () => {
    const [tokenizer, template] = published("qwen3", QWEN);
    const samples = samplesOfConversation(tokenizer, template, CHAT);
    const first =
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    const said = "<think>\n\n</think>\n\nHello!\n<|im_end|>";
    expect(parts(tokenizer, samples[0] as SftSample)).toEqual([first, said]);
    // the template leaves former thoughts out: the second sample begins anew, without them
    const [before, answer] = parts(tokenizer, samples[1] as SftSample);
    expect(before).toBe(
      `${first}Hello!\n<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n`,
    );
    expect(answer).toBe("<think>\n\n</think>\n\n4<|im_end|>");
  });

  const minimind = tokenizerFolder("minimind");
  it.skipIf(!minimind.present)(
    `is not trained on what the prompt says already${minimind.present ? "" : ABSENT}`,
    () => {
      const [tokenizer, template] = published("minimind", QWEN);
      const [first] = samplesOfConversation(tokenizer, template, CHAT);
      const [before, said] = parts(tokenizer, first as SftSample);
      expect(before.endsWith("<|im_start|>assistant\n<think>\n\n</think>\n\n")).toBe(true);
      expect(said).toBe("Hello!\n<|im_end|>");
    },
  );

  it("keeps ids as they were, whatever the whole text would be encoded to", () => {
    const template = templateOf(
      "{% for m in messages %}{% if m.role == 'user' %}Q{{ m.content }}A{% else %}{{ m.content }}<|end|>\n{% endif %}{% endfor %}",
    );
    const messages = ["user", "assistant", "user", "assistant"].map((role, i) => ({
      role,
      content: String(i),
    }));
    const [first, second] = samplesOfConversation(BYTES, template, messages) as [
      SftSample,
      SftSample,
    ];
    expect(parts(BYTES, first)).toEqual(["Q0A", "1<|end|>"]);
    expect(parts(BYTES, second)).toEqual(["Q0A1<|end|>\nQ2A", "3<|end|>"]);
    expect(second.ids.subarray(0, first.ids.length)).toEqual(first.ids);
  });

  it("is refused where the answer cannot be told from the rest", () => {
    const rewriting = templateOf(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>think{% endif %}",
    );
    expect(codeOf(() => samplesOfConversation(BYTES, rewriting, CHAT))).toBe("template_invalid");
    const plain = templateOf("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
    const answers = CHAT.slice(2, 3);
    expect(codeOf(() => samplesOfConversation(BYTES, plain, answers))).toBe("argument_invalid");
    expect(samplesOfConversation(BYTES, plain, CHAT.slice(0, 2))).toEqual([]);
  });
});
