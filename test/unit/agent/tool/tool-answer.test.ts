import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ForgeError } from "../../../../engine/error.ts";
import { answerText, errorText, shownText } from "../../../../src/agent/tool/tool-answer.ts";

describe("answerText", () => {
  it.each([
    ["text", "as it is", "as it is"],
    ["nothing", undefined, ""],
    ["null", null, "null"],
    ["a number", 1.5, "1.5"],
    ["an object", { a: [1, "x"], b: undefined }, '{"a":[1,"x"]}'],
    ["a date", new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ["bytes", new Uint8Array(3), "[binary, 3 bytes]"],
    ["Node's bytes", Buffer.from("abcd"), "[binary, 4 bytes]"],
    ["bytes in an object", { png: Buffer.from("ab") }, '{"png":"[binary, 2 bytes]"}'],
    ["a buffer in a list", [new ArrayBuffer(5)], '["[binary, 5 bytes]"]'],
  ])("says %s", (_, result, text) => {
    expect(answerText(result)).toBe(text);
  });

  const cycle: unknown[] = [];
  cycle.push(cycle);
  const throwing = {
    toJSON(): never {
      throw new Error("no");
    },
  };
  let deep: unknown = 0;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  it.each([
    ["a cycle", cycle],
    ["a bigint", 1n],
    ["a bigint in an object", { n: 1n }],
    ["a function", () => 1],
    ["a method", { f: () => 1 }],
    ["a symbol", Symbol("s")],
    ["NaN", Number.NaN],
    ["Infinity in a list", [Number.POSITIVE_INFINITY]],
    ["a map", new Map([[1, 2]])],
    ["a set in an object", { s: new Set([1]) }],
    ["what throws as it is said", throwing],
    ["what is too deep", deep],
    ["a proxy that is revoked", revoked()],
  ])("refuses %s", (_, result) => {
    expect(() => answerText(result)).toThrow();
  });

  it("says what JSON can say as JSON does", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        if (typeof value !== "string") expect(answerText(value)).toBe(JSON.stringify(value));
      }),
    );
  });
});

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

describe("errorText", () => {
  const mute = new Error("x");
  Object.defineProperty(mute, "message", {
    get() {
      throw new Error("never");
    },
  });
  it.each([
    ["an error", new Error("disk on fire"), "disk on fire"],
    [
      "an error without a message",
      Object.assign(new RangeError("x"), { message: "" }),
      "RangeError",
    ],
    ["text", "no", "no"],
    ["nothing", undefined, "undefined"],
    ["a symbol", Symbol("s"), "Symbol(s)"],
    ["an object without a prototype", Object.create(null), "what was thrown cannot be said"],
    ["an error whose message throws", mute, "what was thrown cannot be said"],
    ["a revoked proxy", revoked(), "what was thrown cannot be said"],
    [
      "an error of forge-gpu",
      new ForgeError({ code: "internal", what: "it [broke].", fix: "mend it" }),
      "it [broke].",
    ],
  ])("says %s", (_, error, text) => {
    expect(errorText(error)).toBe(text);
  });
});

describe("shownText", () => {
  it("shows all of what is short enough", () => {
    expect(shownText("abc", 3)).toEqual({ content: "abc", isCut: false });
  });

  it("cuts what is longer, and says so", () => {
    expect(shownText("abcdef", 4)).toEqual({
      content: "abcd\n[cut: 4 of 6 characters]",
      isCut: true,
    });
  });

  it("cuts before a character of two units, and not through it", () => {
    expect(shownText("ab😀c", 3).content).toBe("ab\n[cut: 2 of 5 characters]");
    expect(shownText("ab😀c", 4).content).toBe("ab😀\n[cut: 4 of 5 characters]");
    expect(shownText("😀😀", 1).content).toBe("\n[cut: 0 of 4 characters]");
  });

  it("makes halves of characters what they would be in UTF-8", () => {
    expect(shownText("a\ud800b\udc00c😀", 10).content).toBe("a\ufffdb\ufffdc😀");
  });

  it("is a beginning that has a form in UTF-8, whatever the text and the limit", () => {
    const units = fc.constantFrom("a", "é", "😀", "\ud83d", "\ude00", "\n");
    const text = fc.array(units, { maxLength: 20 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, fc.nat(20), (given, limit) => {
        const most = limit + 1;
        const { content, isCut } = shownText(given, most);
        expect(isCut).toBe(given.length > most);
        expect(content).toBe(new TextDecoder().decode(new TextEncoder().encode(content)));
        const shown = isCut ? content.slice(0, content.lastIndexOf("\n[cut: ")) : content;
        expect(shown.length).toBeLessThanOrEqual(most);
        expect(shown.length).toBeGreaterThanOrEqual(Math.min(given.length, most - 1));
        const whole = given.slice(0, shown.length);
        expect(shown).toBe(new TextDecoder().decode(new TextEncoder().encode(whole)));
      }),
      { numRuns: 300 },
    );
  });
});
