import { describe, expect, it } from "vitest";
import { LLAMA3 } from "../../../../src/agent/format/llama3.ts";
import { callingMessage, LLAMA_TEMPLATE, renderedAnswer } from "../../../support/tool-chat.ts";

const add = { name: "add", input: { a: 1, b: "};\n" } };
const ADD = '{"name": "add", "parameters": {"a": 1, "b": "};\\n"}}';
const TOOLS = [{ name: "now", parameters: {} }];

const parse = (text: string): ReturnType<typeof LLAMA3.parse> => LLAMA3.parse(text, TOOLS);

describe("calls in the format of Llama 3", () => {
  it("are read from what a template writes", () => {
    const text = renderedAnswer(LLAMA_TEMPLATE, callingMessage([add]), { end: "<|eot_id|>" });
    expect(text).toBe(ADD);
    expect(parse(text)).toEqual({ content: "", calls: [add], malformed: [] });
  });

  it.each([
    ["alone", ADD, 1],
    ["behind the tag", `<|python_tag|>${ADD}`, 1],
    ["behind tags", `<|python_tag|>\n<|python_tag|> ${ADD}`, 1],
    ["with semicolons", `<|python_tag|>${ADD}; ${ADD};${ADD};`, 3],
    ["on lines", `${ADD}\n\n${ADD}\n`, 2],
    ["side by side", `${ADD}${ADD}`, 2],
    ["on more than one line", ADD.replaceAll(", ", ",\n  "), 1],
    ["with an input named as Hermes does", ADD.replace("parameters", "arguments"), 1],
  ])("are read %s", (_, text, count) => {
    const calls = Array.from({ length: count }, () => add);
    expect(parse(text)).toEqual({ content: "", calls, malformed: [] });
  });

  it("leave what stands around them", () => {
    const reply = parse(`I add.\n\n${ADD}; ${ADD} And now?\n<|python_tag|>${ADD}`);
    expect(reply).toEqual({ content: "I add.\nAnd now?", calls: [add, add, add], malformed: [] });
  });

  it("may leave out the input of a tool that there is", () => {
    expect(parse('{"name": "now"}').calls).toEqual([{ name: "now", input: {} }]);
  });

  it.each([
    "It is 4.\n",
    '{"answer": 4}',
    '{"name": "Ada", "born": 1815}\n{"name": "Alan"}',
    `write ${ADD}`,
    "{\n\n",
    "[1, 2]; {}",
  ])("are not what is JSON otherwise: %j", (text) => {
    expect(parse(text)).toEqual({ content: text, calls: [], malformed: [] });
  });

  it.each([
    ["no JSON behind the tag", '<|python_tag|>search.call(query="x")', "must have a value"],
    ["nothing behind the tag", "<|python_tag|>", "it ends before it is complete"],
    ["single quotes", "{'name': 'add'}", "a name in double quotes"],
    ["JSON that does not end", ADD.slice(0, -1), "it ends before it is complete"],
    ["a list as input", '{"name": "add", "parameters": [1]}', "must be an object, and is a list"],
    ["no name behind the tag", "<|python_tag|>{}", 'an object with "name" and "parameters"'],
  ])("are told what is wrong with them: %s", (_, text, reason) => {
    const reply = parse(`so\n${text}`);
    expect(reply).toMatchObject({ content: "so", calls: [], malformed: [{ text }] });
    expect(reply.malformed[0]?.reason).toContain(reason);
  });

  it("that are wrong end where the next begins", () => {
    const reply = parse(`{"name": add}\n${ADD}; {"parameters": {}}; ${ADD}`);
    expect(reply.calls).toEqual([add, add]);
    expect(reply.malformed.map(({ text }) => text)).toEqual([
      '{"name": add}',
      '{"parameters": {}}',
    ]);
  });
});
