import { expect, it } from "vitest";
import { TextCache } from "../../../../src/agent/chat/text-cache.ts";

it("makes each text once, and lets go of the one that was not asked for the longest", () => {
  const made: string[] = [];
  const cache = new TextCache(12);
  const take = (key: string): string =>
    cache.take(key, () => {
      made.push(key);
      return `${key}${key}`;
    });
  expect([take("aa"), take("bb"), take("aa")]).toEqual(["aaaa", "bbbb", "aaaa"]);
  expect(made).toEqual(["aa", "bb"]);
  // no room for three: "bb" goes, since "aa" was asked for after it
  take("cc");
  take("aa");
  expect(made).toEqual(["aa", "bb", "cc"]);
  take("bb");
  expect(made).toEqual(["aa", "bb", "cc", "bb"]);
});

it("gives what is larger than all its room, and keeps it not", () => {
  const cache = new TextCache(4);
  let count = 0;
  const make = (): string => String(++count).repeat(8);
  expect(cache.take("k", make)).toBe("11111111");
  expect(cache.take("k", make)).toBe("22222222");
});

it("keeps nothing of what could not be made", () => {
  const cache = new TextCache();
  expect(() =>
    cache.take("k", () => {
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(cache.take("k", () => "yes")).toBe("yes");
});
