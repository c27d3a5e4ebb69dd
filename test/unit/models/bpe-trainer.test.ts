import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { trainBpe } from "../../../engine/models/bpe-trainer.ts";
import { byteTokenizer } from "../../../engine/models/byte-tokenizer.ts";
import { Tokenizer } from "../../../engine/models/tokenizer.ts";
import type { TokenizerJson } from "../../../engine/models/tokenizer-json.ts";
import { codeOf } from "../../support/errors.ts";
import { texts, tokenizerFolder } from "../../support/tokenizers.ts";

const mergesOf = ({ model }: TokenizerJson): string[] =>
  (model.merges as [string, string][]).map((merge) => merge.join(" "));

describe("byteTokenizer", () => {
  const tokenizer = Tokenizer.from({
    tokenizer: byteTokenizer({ specialTokens: ["<|end|>", "é!"] }),
  });

  it("has the bytes as tokens, and special ones behind them", () => {
    expect(tokenizer.vocabSize).toBe(258);
    expect(tokenizer.encode("aé<|end|>\n")).toEqual([97, 195, 169, 256, 10]);
    expect(tokenizer.encode("é!")).toEqual([257]);
    expect(tokenizer.decode([97, 195, 169, 256, 257])).toBe("aé<|end|>é!");
  });

  it("keeps every text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const ids = tokenizer.encode(text);
        expect(ids).toEqual([...new TextEncoder().encode(text)]);
        expect(tokenizer.decode(ids)).toBe(text);
      }),
    );
  });

  it.each([[["a", "a"]], [[""]], [["A"]], [["Ġ"]]])(
    "refuses special tokens %j",
    (specialTokens) => {
      expect(codeOf(() => byteTokenizer({ specialTokens }))).toBe("argument_invalid");
      expect(codeOf(() => trainBpe([], { vocabSize: 300, specialTokens }))).toBe(
        "argument_invalid",
      );
    },
  );
});

describe("trainBpe", () => {
  it("learns what Hugging Face's BpeTrainer learns", () => {
    const expected: TokenizerJson = JSON.parse(tokenizerFolder("small-byte-level").tokenizer());
    const trained = trainBpe(texts(), { vocabSize: 360, specialTokens: ["<|end|>", "<|pad|>"] });
    expect(mergesOf(trained)).toEqual(mergesOf(expected));
    expect(trained).toEqual(expected);
  });

  it("merges the most frequent pair first, of equal ones that with the smaller ids", () => {
    // ab 5, bc 3, " a" 3, then " ab" 3, abc 3, " abc" 2
    const text = "abc abc abc ab ab";
    expect(mergesOf(trainBpe([text], { vocabSize: 400 }))).toEqual(["a b", "Ġ ab", "Ġab c"]);
    expect(mergesOf(trainBpe(["ba", "ba", "ab", "ab"], { vocabSize: 257 }))).toEqual(["a b"]);
    expect(mergesOf(trainBpe(["aaaa aaa"], { vocabSize: 400, minFrequency: 1 }))).toEqual([
      "a a",
      "Ġ aa",
      "aa aa",
      "Ġaa a",
    ]);
  });

  it("stops at pairs that are too rare, and when there are none", () => {
    const rare = trainBpe(["ab ab cd"], { vocabSize: 1000, minFrequency: 2 });
    expect(mergesOf(rare)).toEqual(["a b"]);
    expect(mergesOf(trainBpe([], { vocabSize: 1000 }))).toEqual([]);
  });

  it("learns the same in whatever order the texts come", () => {
    const lines = texts().filter((text) => !/\s$/.test(text) && text !== "");
    const whole = trainBpe(lines, { vocabSize: 320 });
    expect(trainBpe([...lines].reverse(), { vocabSize: 320 })).toEqual(whole);
  });

  it("makes a tokenizer that keeps every text", () => {
    const tokenizer = Tokenizer.from({ tokenizer: trainBpe(texts(), { vocabSize: 400 }) });
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
    expect(tokenizer.encode("the user").length).toBeLessThan(6);
  });

  it.each([
    { vocabSize: 255 },
    { vocabSize: 256, specialTokens: ["<|end|>"] },
    { vocabSize: Number.NaN },
    { vocabSize: 300, minFrequency: 0 },
    { vocabSize: 300, minFrequency: Number.NaN },
  ])("refuses %j", (options) => {
    expect(codeOf(() => trainBpe(["a"], options))).toBe("argument_invalid");
  });
});
