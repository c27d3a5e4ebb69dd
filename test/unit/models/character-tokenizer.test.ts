import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { characterTokenizer } from "../../../engine/models/character-tokenizer.ts";
import { Tokenizer } from "../../../engine/models/tokenizer.ts";
import { codeOf } from "../../support/errors.ts";
import { CHARACTERS, recorded, texts } from "../../support/tokenizers.ts";

const load = (alphabet: string, specialTokens?: readonly string[]): Tokenizer =>
  Tokenizer.from({
    tokenizer: characterTokenizer(alphabet, specialTokens && { specialTokens }),
    config: { pad_token: "<pad>", eos_token: "<eos>" },
  });

describe("characterTokenizer", () => {
  const alphabet = "01+= 👍é<";

  it("is what Hugging Face's tokenizers writes", () => {
    const all = [...new Set(texts().join(""))].join("");
    expect(characterTokenizer(all)).toEqual(JSON.parse(CHARACTERS.tokenizer()));
  });

  it("encodes and decodes as Hugging Face's tokenizers", () => {
    const tokenizer = Tokenizer.from({ tokenizer: CHARACTERS.tokenizer() });
    for (const { text, ids } of recorded(CHARACTERS.name).encoded)
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    for (const { ids, text, skipped } of recorded(CHARACTERS.name).decoded) {
      expect(tokenizer.decode(ids)).toBe(text);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(skipped);
    }
  });

  it("has the characters as tokens, and special ones behind them", () => {
    const tokenizer = load(alphabet);
    const { vocabSize, padId, eosId, specialIds } = tokenizer;
    expect([vocabSize, padId, eosId]).toEqual([10, 8, 9]);
    expect(specialIds).toEqual([8, 9]);
    expect(tokenizer.encode("1 👍<<eos>0<pad>")).toEqual([1, 4, 5, 7, 9, 0, 8]);
  });

  it("keeps every text of its alphabet", () => {
    const characters = [...alphabet];
    const tokenizer = load(alphabet, ["<|end|>"]);
    fc.assert(
      fc.property(fc.array(fc.nat(characters.length - 1), { maxLength: 400 }), (ids) => {
        const text = ids.map((id) => characters[id]).join("");
        expect(tokenizer.encode(text)).toEqual(ids);
        expect(tokenizer.decode(ids)).toBe(text);
      }),
    );
  });

  it.each(["2", "e\u0301", "1+x=1", "\n", "<pad", "\ud83d"])("has no ids for %j", (text) => {
    expect(codeOf(() => load(alphabet).encode(text))).toBe("argument_invalid");
  });

  it("names the character that it lacks", () => {
    expect(() => load(alphabet).encode("10🙈1")).toThrow('got  "🙈"');
  });

  it.each(["", "aba", "\ud83d", "a\udc4db"])("refuses the alphabet %j", (bad) => {
    expect(codeOf(() => characterTokenizer(bad))).toBe("argument_invalid");
  });

  it.each([[["a"]], [[""]], [["<x>", "<x>"]], [["<unk>"]]])(
    "refuses special tokens %j",
    (specialTokens) => {
      expect(codeOf(() => characterTokenizer("ab", { specialTokens }))).toBe("argument_invalid");
    },
  );
});
