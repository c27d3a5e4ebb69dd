import fc from "fast-check";
import { expect, test } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import { JsonCursor } from "../../../engine/models/json-cursor.ts";
import { codeOf } from "../../support/errors.ts";

const fault = (got: string, why: string): ForgeError =>
  new ForgeError({ code: "file_invalid", what: "JSON.", got, why });

function skipWhole(text: string): void {
  const cursor = new JsonCursor(text, fault);
  cursor.skip();
  cursor.end();
}

test("takes what JSON.parse takes, in any spacing", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 1, "\t", "\r\n "), (value, space) => {
      skipWhole(` ${JSON.stringify(value, null, space)}\n`);
    }),
    { numRuns: 1000 },
  );
});

test("refuses what JSON.parse refuses", () => {
  const symbols = fc.constantFrom(...'{}[]",:\\0123-+.eE truefalsnu\n\u00a0\u0001');
  let refused = 0;
  fc.assert(
    fc.property(fc.array(symbols, { maxLength: 6 }), (list) => {
      const text = list.join("");
      try {
        JSON.parse(text);
      } catch {
        refused++;
        expect(
          codeOf(() => skipWhole(text)),
          JSON.stringify(text),
        ).toBe("file_invalid");
      }
    }),
    { numRuns: 20_000, seed: 1 },
  );
  expect(refused).toBeGreaterThan(10_000);
});

test.each([
  ["0", 0],
  ["10 ", 10],
  ["9007199254740991", 2 ** 53 - 1],
])("reads %j as an integer", (text, value) => {
  expect(new JsonCursor(text, fault).integer()).toBe(value);
});

test.each([
  "9007199254740992",
  "9007199254740993",
  "99999999999999999",
  "1.0",
  "1e1",
  "01",
  "-0",
  "+1",
  "0x1",
  '"1"',
  "",
])("reads no integer from %j", (text) => {
  const read = (): void => {
    const cursor = new JsonCursor(text, fault);
    cursor.integer();
    cursor.end();
  };
  expect(codeOf(read)).toBe("file_invalid");
});

test("says what stands where, without the rest of the text", () => {
  const text = `{"a": \u001b[31m${"x".repeat(1000)}`;
  expect(() => new JsonCursor(text, fault).object(() => expect.fail("a value"))).toThrow("a value");
  try {
    skipWhole(text);
  } catch (error) {
    const { message } = error as Error;
    expect(message).toContain("character 6");
    expect(message).not.toContain("\u001b");
    expect(message.length).toBeLessThan(200);
  }
});
