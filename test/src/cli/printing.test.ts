import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { byteTokenizer, Tokenizer } from "../../../engine/index.ts";
import { printJson } from "../../../src/cli/json.ts";
import { scoreTable, tokenTexts, totalsOf, totalsText } from "../../../src/cli/score-table.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** What `printJson` writes. */
function printed(document: object): string {
  const write = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  printJson(document);
  const text = write.mock.calls.map(([part]) => part).join("");
  write.mockRestore();
  return text;
}

describe("printJson", () => {
  it("puts lists of numbers on one line, and what fits", () => {
    const ids = Array.from({ length: 60 }, (_, i) => i);
    expect(printed({ ids, none: undefined, of: { a: [null, 1.5], b: "x\ny" } })).toBe(
      `{\n  "ids": [${ids.join(", ")}],\n  "of": {"a": [null, 1.5], "b": "x\\ny"}\n}\n`,
    );
  });
  it("prints every document as one that is read back the same", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (document) => {
        const plain = JSON.parse(JSON.stringify(document));
        expect(JSON.parse(printed(document))).toEqual(plain);
      }),
    );
  });
});

describe("scores", () => {
  const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: ["<|end|>"] }) });
  const alternatives = [
    [{ id: 98, logprob: -0.5 }],
    [{ id: 99, logprob: -0.25 }],
    [{ id: 256, logprob: -1 }],
  ];
  const score = { logprobs: [-1, -2.5, -0.25], entropies: [0.5, 12, 1], alternatives };

  it("are a table whose first token has none", () => {
    const ids = [97, 0xc3, 0xa9, 256];
    const texts = tokenTexts(ids, tokenizer);
    expect(texts).toEqual(["a", "Ã", "é", "<|end|>"]);
    expect(scoreTable({ ids, texts, score }, tokenizer)).toBe(
      [
        "token       id  logprob  entropy  top",
        '"a"         97',
        '"Ã"        195  -1.0000   0.5000  "b" -0.50',
        '"é"        169  -2.5000  12.0000  "c" -0.25',
        '"<|end|>"  256  -0.2500   1.0000  "<|end|>" -1.00',
      ].join("\n"),
    );
  });
  it("add up", () => {
    const totals = totalsOf([score, { ...score, logprobs: [-0.25], entropies: [1] }]);
    expect(totals).toEqual({ scored: 4, sum: -4, mean: -1, perplexity: Math.E });
    expect(totalsText(totals)).toBe("4 scored · sum -4.0000 · mean -1.0000 · perplexity 2.7183");
    expect(totalsOf([])).toEqual({ scored: 0, sum: 0, mean: null, perplexity: null });
    expect(totalsText(totalsOf([]))).toContain("perplexity none");
  });
});
