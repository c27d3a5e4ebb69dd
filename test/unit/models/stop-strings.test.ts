import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopStrings } from "../../../engine/models/stop-strings.ts";
import { codeOf } from "../../support/errors.ts";

/** What comes out for each piece, and at the end. */
function stream(stops: readonly string[], pieces: readonly string[]): string[] {
  const search = new StopStrings(stops);
  return [...pieces.map((piece) => search.push(piece).text), search.flush()];
}

/** The text before a stop string, and the string: of all places, that which ends first, and there the longest. */
function searched(stops: readonly string[], text: string): [string, string | undefined] {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    const longest = found.sort((a, b) => b.length - a.length)[0];
    if (longest !== undefined) return [text.slice(0, end - longest.length), longest];
  }
  return [text, undefined];
}

describe("StopStrings", () => {
  it.each([
    ["nothing to stop at", [], ["ab", "c"], ["ab", "c", ""]],
    ["no match", ["xyz"], ["ab", "c"], ["ab", "c", ""]],
    ["a beginning that comes to nothing", ["</s>"], ["a<", "/", "b>"], ["a", "", "</b>", ""]],
    ["a beginning at the end", ["</s>"], ["a</s"], ["a", "</s"]],
    ["a match", ["</s>"], ["a</", "s>b", "c"], ["a", "", "", ""]],
    ["one within another", ["abcd", "bc"], ["xab", "cd"], ["x", "a", ""]],
    ["one that begins in another", ["abc", "bx"], ["ab", "x"], ["", "a", ""]],
    ["one that repeats itself", ["aab"], ["aaa", "ab"], ["a", "aa".slice(1), ""]],
    ["halves of characters", ["😀!"], ["😁", "😀", "?"], ["😁", "", "😀?", ""]],
  ] as [string, string[], string[], string[]][])(
    "holds back what it must: %s",
    (_, stops, pieces, texts) => {
      expect(stream(stops, pieces)).toEqual(texts);
    },
  );

  it("tells which it was, and then nothing more", () => {
    const search = new StopStrings(["b", "abc", "\n"]);
    expect(search.push("xa")).toEqual({ text: "x" });
    expect(search.push("b rest")).toEqual({ text: "a", stop: "b" });
    expect(search.push("more")).toEqual({ text: "", stop: "b" });
    expect(search.flush()).toBe("");
  });

  it("finds the same however the text is cut", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "😀"), maxLength: 40 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b", "😀"), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 8 }),
        fc.array(stop, { maxLength: 4 }),
        (pieces, stops) => {
          const search = new StopStrings(stops);
          let given = "";
          let stopped: string | undefined;
          for (const piece of pieces) {
            const { text: safe, stop: match } = search.push(piece);
            given += safe;
            stopped ??= match;
            expect(/\p{Surrogate}/u.test(safe)).toBe(false);
          }
          given += search.flush();
          expect([given, stopped]).toEqual(searched(stops, pieces.join("")));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("holds back no more than it must", () => {
    const stops = ["abab", "ba"];
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 }), (text) => {
        const search = new StopStrings(stops);
        const { text: safe, stop } = search.push(text);
        fc.pre(stop === undefined);
        const held = text.slice(safe.length);
        expect(held === "" || stops.some((each) => each.startsWith(held))).toBe(true);
      }),
    );
  });

  it("refuses an empty stop string", () => {
    expect(codeOf(() => new StopStrings(["a", ""]))).toBe("argument_invalid");
  });
});
