import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expandNodelist } from "../../../../src/cli/launch/nodelist.ts";
import { codeOf } from "../../../support/errors.ts";

/** Numbers of a bracket, as written and as meant. */
const range = fc
  .record({
    first: fc.nat({ max: 2000 }),
    more: fc.nat({ max: 12 }),
    width: fc.integer({ min: 1, max: 5 }),
  })
  .map(({ first, more, width }) => {
    const text = (n: number): string => String(n).padStart(width, "0");
    return {
      text: more === 0 ? text(first) : `${text(first)}-${text(first + more)}`,
      // the width is the first number's as it is written
      meant: Array.from({ length: more + 1 }, (_, i) =>
        String(first + i).padStart(text(first).length, "0"),
      ),
    };
  });
const bracket = fc.array(range, { minLength: 1, maxLength: 3 }).map((ranges) => ({
  text: `[${ranges.map(({ text }) => text).join(",")}]`,
  meant: ranges.flatMap(({ meant }) => meant),
}));
const word = fc.stringMatching(/^[A-Za-z0-9._-]{1,6}$/).map((text) => ({ text, meant: [text] }));
const part = fc.array(fc.oneof(word, bracket), { minLength: 1, maxLength: 3 }).map((pieces) => ({
  text: pieces.map(({ text }) => text).join(""),
  meant: pieces.reduce<string[]>(
    (hosts, { meant }) => hosts.flatMap((host) => meant.map((end) => host + end)),
    [""],
  ),
}));

describe("lists of hosts of Slurm's", () => {
  it.each([
    ["n[0-3,7],gpu-a", ["n0", "n1", "n2", "n3", "n7", "gpu-a"]],
    ["n0", ["n0"]],
    ["n[08-11]", ["n08", "n09", "n10", "n11"]],
    ["n[098-101]-ib", ["n098-ib", "n099-ib", "n100-ib", "n101-ib"]],
    ["r[0-1]n[2,4]", ["r0n2", "r0n4", "r1n2", "r1n4"]],
    ["a.example,b[1]", ["a.example", "b1"]],
  ])("%s", (text, hosts) => expect(expandNodelist(text)).toEqual(hosts));

  it("are what was written into them", () => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
        const text = parts.map((one) => one.text).join(",");
        expect(expandNodelist(text)).toEqual(parts.flatMap((one) => one.meant));
      }),
    );
  });

  it.each([
    "",
    ",",
    "n[",
    "n]",
    "n[]",
    "n[3-1]",
    "n[1-",
    "n[a-b]",
    "n[1-2-3]",
    "n 1",
    "n[[1]]",
    "n[0-99999999]",
    "r[0-999]n[0-999]",
    Array.from({ length: 70 }, () => "n[0-999]").join(","),
  ])("refuses %s", (text) => {
    expect(codeOf(() => expandNodelist(text))).toBe("config_invalid");
  });

  it("never hangs or breaks on any text", () => {
    const alphabet = fc.string({ unit: fc.constantFrom(..."n0-9,[]"), maxLength: 24 });
    fc.assert(
      fc.property(alphabet, (text) => {
        try {
          expect(expandNodelist(text).length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toHaveProperty("code", "config_invalid");
        }
      }),
    );
  });
});
