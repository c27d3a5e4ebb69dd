import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../../engine/models/chat-template.ts";
import { HERMES } from "../../../../src/agent/format/hermes.ts";
import { tokenizerFolder } from "../../../support/tokenizers.ts";
import { callingMessage, renderedAnswer } from "../../../support/tool-chat.ts";

const qwen = ChatTemplate.from({ config: tokenizerFolder("qwen3").config() }) as ChatTemplate;

const add = { name: "add", input: { a: 1, b: { c: [2, "}"] } } };
const call = (json: string): string => `<tool_call>\n${json}\n</tool_call>`;
const ADD = call('{"name": "add", "arguments": {"a": 1, "b": {"c": [2, "}"]}}}');

describe("calls in the format of Hermes", () => {
  it.each([
    ["a call", callingMessage([add])],
    ["calls", callingMessage([add, { name: "now", input: {} }, add])],
    ["content", { role: "assistant" as const, content: "  It is\n\n{4}. " }],
    ["content and a call", callingMessage([add], "I add.")],
    ["thoughts, content and a call", callingMessage([add], "I add.", "one\n\nand <tool_call>")],
    [
      "tags in an input",
      callingMessage([{ name: "say", input: { it: "</tool_call><tool_call>" } }]),
    ],
  ])("are read from what Qwen 3's template writes: %s", (_, message) => {
    const text = renderedAnswer(qwen, message, { end: "<|im_end|>" });
    const { content, reasoning, toolCalls = [] } = message as ReturnType<typeof callingMessage>;
    expect(HERMES.parse(text, [])).toEqual({
      content,
      ...(reasoning !== undefined && { reasoning }),
      calls: toolCalls.map(({ name, input }) => ({ name, input })),
      malformed: [],
    });
  });

  it.each([
    ["white space within", '<tool_call> { "name" : "add" , "arguments" : { } } </tool_call>'],
    ["no input", call('{"name": "add"}')],
    ["an input that is JSON in a string", call('{"name": "add", "arguments": " {} "}')],
    ["an input named as Llama does", call('{"name": "add", "parameters": {}}')],
    ["further keys", call('{"type": "function", "name": "add", "id": 3, "arguments": {}}')],
    ["no closing tag at the end", '<tool_call>\n{"name": "add", "arguments": {}}\n'],
  ])("are read with %s", (_, text) => {
    const calls = [{ name: "add", input: {} }];
    expect(HERMES.parse(text, [])).toEqual({ content: "", calls, malformed: [] });
  });

  it("need no closing tag before another", () => {
    const open = '<tool_call>{"name": "a"}';
    const { calls, malformed } = HERMES.parse(`${open}\n${open}${open}`, []);
    expect(calls).toHaveLength(3);
    expect(malformed).toEqual([]);
  });

  it("leave what stands around them", () => {
    const reply = HERMES.parse(` First\n\n${ADD}\nthen \n${ADD}\n\n`, []);
    expect(reply).toEqual({ content: " First\nthen ", calls: [add, add], malformed: [] });
  });

  it.each([
    ["no JSON", "add(1)", 'at character 1 it must have a value, and has "add(1)'],
    ["a comma too much", '{"name": "add",}', "a name in double quotes"],
    ["JSON that does not end", '{"name": "add", "arguments": {', '"</tool_call>"'],
    ["a line break", '{"name": "a\nb"}', "as \\n and \\t"],
    ["a list", "[]", 'an object with "name" and "arguments"'],
    ["no name", '{"arguments": {}}', 'an object with "name" and "arguments"'],
    ["a name that is none", '{"name": 3}', 'an object with "name" and "arguments"'],
    ["a list as input", '{"name": "add", "arguments": [1]}', "must be an object, and is a list"],
    ["a text as input", '{"name": "add", "arguments": "1+"}', "must be an object, and is a string"],
    ["null as input", '{"name": "add", "arguments": null}', "must be an object, and is null"],
    [
      "two calls at once",
      '{"name": "a"}\n{"name": "b"}',
      "behind its JSON there must be </tool_call>",
    ],
  ])("are told what is wrong with them: %s", (_, json, reason) => {
    const reply = HERMES.parse(`so\n${call(json)}\n${ADD}`, []);
    expect(reply).toMatchObject({ content: "so", calls: [add], malformed: [{ text: call(json) }] });
    expect(reply.malformed[0]?.reason).toContain(reason);
  });

  it("that are cut off are told so", () => {
    const text = '<tool_call>\n{"name": "add", "arguments": {"a": "b';
    const [only] = HERMES.parse(`so\n${text}`, []).malformed;
    expect(only).toMatchObject({
      text,
      reason: expect.stringContaining("ends before it is complete"),
    });
    expect(HERMES.parse("<tool_call>", []).malformed).toHaveLength(1);
  });

  it("end at the tag that closes them, and where the next begins", () => {
    const reply = HERMES.parse(`<tool_call>{x ${ADD}</tool_call> so`, []);
    expect(reply.calls).toEqual([add]);
    expect(reply.malformed.map(({ text }) => text)).toEqual(["<tool_call>{x ", "</tool_call>"]);
    expect(reply.content).toBe(" so");
  });
});

describe("thoughts", () => {
  const parse = (text: string): object => HERMES.parse(text, []);
  const nothing = { calls: [], malformed: [] };

  it.each([
    ["<think>\na\n\nb\n</think>\n\nsaid", { content: "said", reasoning: "a\n\nb" }],
    ["\n<think>a</think>", { content: "", reasoning: "a" }],
    ["<think>\n\n</think>\n\nsaid ", { content: "said " }],
    ["a\n</think>\n\nsaid", { content: "said", reasoning: "a" }],
    ["<think>\na <think> b", { content: "", reasoning: "a <think> b" }],
    ["said <think>", { content: "said <think>" }],
  ])("are told from what is said: %j", (text, expected) => {
    expect(parse(text)).toEqual({ ...nothing, ...expected });
  });

  it("make no calls", () => {
    const text = `<think>maybe ${ADD}</think>no`;
    expect(parse(text)).toEqual({ ...nothing, content: "no", reasoning: `maybe ${ADD}` });
  });

  it("that do not end make none either, and say so", () => {
    expect(parse(`<think>\nmaybe\n${ADD}`)).toEqual({
      ...{ content: "", reasoning: "maybe", calls: [] },
      malformed: [{ text: ADD, reason: expect.stringContaining("write </think> before") }],
    });
  });

  it("are not what an input says", () => {
    const text = call('{"name": "say", "arguments": {"it": "</think>"}}');
    expect(parse(text)).toMatchObject({ calls: [{ name: "say", input: { it: "</think>" } }] });
  });
});
