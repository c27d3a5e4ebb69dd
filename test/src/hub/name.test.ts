import { describe, expect, it } from "vitest";
import { hubNameText, parseHubName } from "../../../src/hub/name.ts";
import { codeOf } from "../../support/errors.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

describe("parseHubName", () => {
  it.each([
    ["gpt2", "gpt2", "main"],
    ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "main"],
    ["a/b_c.d-e@v1.0", "a/b_c.d-e", "v1.0"],
    ["org/name@refs/pr/1", "org/name", "refs/pr/1"],
    [`org/name@${COMMIT}`, "org/name", COMMIT],
  ])("reads %s", (text, id, revision) => {
    const name = parseHubName(text);
    expect(name).toEqual({ id, revision });
    expect(hubNameText(name)).toBe(text);
  });

  it.each([
    ...[
      "",
      "/",
      "org/",
      "/name",
      "org/name/more",
      "../name",
      "org/..",
      ".",
      "org/.name",
      "org/name.",
    ],
    ...["org/-name", "org/a--b", "org/a..b", "org/name.git", "org\\name", "org/na me", "org/näme"],
    ...["https://huggingface.co/org/name", "org/name\n", `org/${"x".repeat(97)}`],
    ...["org/name@", "org/name@..", "org/name@a..b", "org/name@/a", "org/name@a/", "org/name@a//b"],
    ...["org/name@a/.b", "org/name@-a", "org/name@a b", "org/name@a\u0000", "org/name@a@{1}"],
    ...["org/name@a.lock", "org/name@a:b", "org/name@a\\b", `org/name@${"x".repeat(201)}`],
  ])("refuses %j", (text) => {
    expect(codeOf(() => parseHubName(text))).toBe("argument_invalid");
  });
});
