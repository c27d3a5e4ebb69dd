import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../../engine/models/chat-template.ts";
import type { ToolCallFormat } from "../../../../src/agent/format/format.ts";
import { HERMES } from "../../../../src/agent/format/hermes.ts";
import { readJson } from "../../../../src/agent/format/json-scanner.ts";
import { LLAMA3 } from "../../../../src/agent/format/llama3.ts";
import { PLAIN, PLAIN_TEMPLATE } from "../../../../src/agent/format/plain.ts";
import type { ToolDefinition } from "../../../../src/agent/message.ts";
import { tokenizerFolder } from "../../../support/tokenizers.ts";
import { callingMessage, LLAMA_TEMPLATE, renderedAnswer } from "../../../support/tool-chat.ts";

const TOOLS: readonly ToolDefinition[] = [
  { name: "one", parameters: { properties: { x: { type: "string" } }, required: ["x"] } },
  { name: "number", parameters: { properties: { x: { type: "number" } } } },
  {
    name: "two",
    parameters: { properties: { x: { type: "string" }, y: {} }, required: ["x", "y"] },
  },
];

const FORMATS: readonly ToolCallFormat[] = [HERMES, LLAMA3, PLAIN];

/** What replies are made of, right and wrong. */
const PIECES = [
  ...["<tool_call>", "</tool_call>", "<think>", "</think>", "<|python_tag|>", "<call>", "<eos>"],
  ...['{"name": "one", "arguments": {"x": "1"}}', '{"name": "two", "parameters": {}}', "one 1+1"],
  ...[
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "\\",
    ":",
    ",",
    ";",
    " ",
    "\n",
    '{"name"',
    "one",
    "1e",
    "\ud800",
  ],
];

const replies = fc
  .array(fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...PIECES) }, fc.string()), {
    maxLength: 30,
  })
  .map((parts) => parts.join(""));

/** What makes a parser begin again and again, or go on to the end, in a reply of nothing else. */
const REPEATED = [
  ...["{", "[", '"', "\\", "<", "\n", ";", " ", "\ud800", "{\n", '{"name"', '\n{"name"\n'],
  ...["<tool_call>", "</tool_call>", "<tool_call>{", '<tool_call>{"name":"', "<think>", "</think>"],
  ...['<tool_call>{"name":"a","arguments":', "<|python_tag|>", "<|python_tag|>{"],
  ...['{"name": "one"};', '\n{"name": "a", "parameters": '],
  ...["<call>", "<call> ", "<call>one {", '<call>two {"x":"'],
];

/** JSON as texts and numbers that survive JSON. */
const inputs = fc.dictionary(
  fc.string({ unit: "binary" }).filter((key) => key !== "__proto__"),
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown),
  { maxKeys: 3 },
);

const names = fc.stringMatching(/^[a-z_][a-z0-9_]{0,9}$/);

/** What is said beside calls: words on a line. */
const words = fc.stringMatching(/^([a-z{}"]+( [a-z.,]+){0,3})?$/);

describe.each(FORMATS.map((format) => [format.name, format] as const))(
  "the %s parser",
  (_, format) => {
    it("takes every reply apart", () => {
      fc.assert(
        fc.property(replies, (text) => {
          const { content, reasoning, calls, malformed } = format.parse(text, TOOLS);
          expect(content.length + (reasoning?.length ?? 0)).toBeLessThanOrEqual(text.length);
          for (const { name, input } of calls) {
            expect(name).not.toBe("");
            expect(JSON.parse(JSON.stringify(input))).toEqual(input);
          }
          for (const each of malformed) {
            expect(text).toContain(each.text);
            expect(each.reason.length).toBeGreaterThan(10);
          }
        }),
        { numRuns: 2000 },
      );
    });

    it.each(REPEATED)("takes time in proportion to a reply of many %j", (piece) => {
      const text = piece.repeat(1_000_000 / piece.length);
      const start = performance.now();
      format.parse(text, TOOLS);
      format.parse(`<tool_call>{"name": "${text}`, TOOLS);
      format.parse(`{"name": "a", "parameters": ${text}`, TOOLS);
      // milliseconds; at the square of the length it would be minutes
      expect(performance.now() - start).toBeLessThan(5000);
    });

    it.each(["<tool_call>", "{", "<call>", "<|python_tag|>"])("takes 10 MB of %s", (piece) => {
      const { content, malformed } = format.parse(piece.repeat(1e7 / piece.length), TOOLS);
      const lengths = malformed.map(({ text }) => text.length);
      expect(lengths.reduce((sum, length) => sum + length, content.length)).toBeGreaterThan(9e6);
    });
  },
);

describe("what a template writes is read back", () => {
  const qwen = ChatTemplate.from({ config: tokenizerFolder("qwen3").config() }) as ChatTemplate;
  const plain = ChatTemplate.from({
    ...{ template: PLAIN_TEMPLATE, config: { eos_token: "<eos>" } },
  }) as ChatTemplate;
  const callsOf = (name: fc.Arbitrary<string>): fc.Arbitrary<{ name: string; input: unknown }[]> =>
    fc.array(fc.record({ name, input: inputs }), { minLength: 1, maxLength: 3 });

  it("in the format of Hermes", () => {
    const thoughts = fc.option(
      words.filter((text) => text !== ""),
      { nil: undefined },
    );
    fc.assert(
      fc.property(callsOf(names), words, thoughts, (calls, content, reasoning) => {
        const message = callingMessage(calls, content, reasoning);
        const text = renderedAnswer(qwen, message, { end: "<|im_end|>" });
        expect(HERMES.parse(text, [])).toEqual({
          ...{ content, calls, malformed: [], ...(reasoning !== undefined && { reasoning }) },
        });
      }),
    );
  });

  it("in the format of Llama 3", () => {
    fc.assert(
      fc.property(callsOf(names), ([call]) => {
        const message = callingMessage(call ? [call] : []);
        const text = renderedAnswer(LLAMA_TEMPLATE, message, { end: "<|eot_id|>" });
        expect(LLAMA3.parse(text, [])).toEqual({ content: "", calls: [call], malformed: [] });
      }),
    );
  });

  it("in the plain format", () => {
    const known = fc.constantFrom("one", "number", "two");
    const single = fc.record({
      name: known,
      input: fc.record({
        x: fc.oneof(
          fc.string(),
          fc.double({ noDefaultInfinity: true, noNaN: true }).map((x) => x + 0),
        ),
      }),
    });
    const calls = fc.oneof(callsOf(fc.oneof(known, names)), fc.array(single, { minLength: 1 }));
    fc.assert(
      fc.property(calls, words, (written, content) => {
        const message = callingMessage(written, content);
        const text = renderedAnswer(plain, message, { tools: TOOLS, end: "<eos>" });
        expect(PLAIN.parse(text, TOOLS)).toEqual({ content, calls: written, malformed: [] });
      }),
    );
  });
});

describe("readJson", () => {
  const isJson = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };

  it("finds the end of any JSON", () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 6 }),
        fc.constantFrom("", " ", "}", "]", "\n{", "x"),
        (json, rest) => {
          const isOpenEnded = /^-?\d/.test(json);
          const read = readJson(` \n${json}${isOpenEnded ? rest.replace("x", "") : rest}`);
          expect(read).toEqual({ value: JSON.parse(json), end: json.length + 2 });
        },
      ),
    );
  });

  it("takes what JSON.parse takes, and nothing else", () => {
    const tokens = fc.constantFrom(
      ...'{}[]:,"-.019eE+\\u/n \n\t'.split(""),
      '"a"',
      "true",
      "null",
      "1",
    );
    const mutated = fc
      .tuple(fc.json({ maxDepth: 2 }), fc.nat(), tokens)
      .map(
        ([json, at, token]) =>
          json.slice(0, at % json.length) + token + json.slice((at % json.length) + 1),
      );
    const texts = fc.oneof(
      mutated,
      fc.array(tokens, { maxLength: 12 }).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const read = readJson(text);
        const isWhole = "value" in read && text.slice(read.end).trim() === "";
        expect(isWhole).toBe(isJson(text));
        if ("reason" in read) expect(read.at).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 5000 },
    );
  });

  it("goes no deeper than 100 levels", () => {
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    expect(readJson(nested(100))).toMatchObject({ end: 200 });
    expect(readJson(nested(101))).toMatchObject({ reason: "it nests deeper than 100 levels" });
  });
});
