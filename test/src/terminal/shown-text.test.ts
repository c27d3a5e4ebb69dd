import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shownLine, shownText } from "../../../src/terminal/shown-text.ts";

describe("shownText", () => {
  it.each([
    ["\u001b[31mred\u0007", "\\x1b[31mred\\x07"],
    ["\u009b2J\u007f", "\\x9b2J\\x7f"],
    ["over\rwritten\b", "over\\x0dwritten\\x08"],
    ["\u202edlrow\u2066", "\\u{202e}dlrow\\u{2066}"],
    ["\ufeffa\u2028b\u00ad", "\\u{feff}a\\u{2028}b\\xad"],
    ["half \ud83d of one", "half \\u{d83d} of one"],
    ["tab\tand\nline", "tab\tand\nline"],
    ["Grüezi 从前 👩‍👩‍👧 क्‍ष", "Grüezi 从前 👩‍👩‍👧 क्‍ष"],
  ])("%j", (text, shown) => {
    expect(shownText(text)).toBe(shown);
  });

  it("leaves nothing that acts on a terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(shownText(text)).not.toMatch(/(?![\n\t])[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u);
        expect(shownLine(text)).not.toMatch(/[\n\t]/);
        expect(shownText(shownText(text))).toBe(shownText(text));
      }),
    );
  });
});

describe("shownLine", () => {
  it("is one line, and no longer than asked for", () => {
    expect(shownLine("a\n\tb")).toBe("a\\n\\tb");
    expect(shownLine("👍👍👍👍", 4)).toBe("👍👍👍👍");
    expect(shownLine("👍👍👍👍", 3)).toBe("👍👍…");
    expect(shownLine("\u001b\u001b", 5)).toBe("\\x1b…");
  });
});
