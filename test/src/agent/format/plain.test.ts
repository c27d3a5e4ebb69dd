import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../../engine/models/chat-template.ts";
import { PLAIN, PLAIN_TEMPLATE } from "../../../../src/agent/format/plain.ts";
import {
  toTemplateMessages,
  toTemplateTools,
} from "../../../../src/agent/format/template-messages.ts";
import type { Message, ToolDefinition } from "../../../../src/agent/message.ts";

function tool(
  name: string,
  properties: Record<string, object>,
  required: readonly string[] = [],
): ToolDefinition {
  return { name, parameters: { type: "object", properties, required } };
}

const TOOLS: readonly ToolDefinition[] = [
  tool("calculate", { expression: { type: "string" } }, ["expression"]),
  tool("wait", { seconds: { type: "number" } }),
  tool("count", { to: { type: "integer" }, by: { type: "integer" } }, ["to"]),
  tool("flag", { on: { type: "boolean" } }),
  tool("sum", { of: { type: "array" } }),
  tool("add", { a: { type: "number" }, b: { type: "number" } }, ["a", "b"]),
  tool("now", {}),
];

const template = ChatTemplate.from({
  template: PLAIN_TEMPLATE,
  config: { eos_token: "<eos>" },
}) as ChatTemplate;

function render(messages: readonly Message[], addGenerationPrompt = false): string {
  const tools = toTemplateTools(TOOLS);
  return template.render({ messages: toTemplateMessages(messages), tools, addGenerationPrompt });
}

function calling(name: string, input: unknown): Message {
  return { role: "assistant", content: "", toolCalls: [{ id: "1", name, input }] };
}

describe("the plain template", () => {
  it("writes each part behind its token", () => {
    const messages: Message[] = [
      { role: "system", content: "Be exact." },
      { role: "user", content: " 7*8=?\n" },
      calling("calculate", { expression: "7*8" }),
      { role: "tool", content: "56", name: "calculate", toolCallId: "1" },
      { role: "assistant", content: "56" },
      { role: "user", content: "thanks" },
    ];
    expect(render(messages, true)).toBe(
      "<system>Be exact.<user> 7*8=?\n<assistant><call>calculate 7*8<eos><tool>56<assistant>56<eos><user>thanks<assistant>",
    );
  });

  it("lets what is asked begin with what was said", () => {
    const asked: Message[] = [{ role: "user", content: "1+1" }];
    const said = calling("calculate", { expression: "1+1" });
    const answered: Message = { role: "tool", content: "2", name: "calculate", toolCallId: "1" };
    const next = render([...asked, said, answered], true);
    expect(next.startsWith(`${render(asked, true)}<call>calculate 1+1<eos>`)).toBe(true);
  });

  it.each([
    ["a text", "calculate", { expression: "a b\nc" }, "a b\nc"],
    ["an empty text", "calculate", { expression: "" }, '{"expression":""}'],
    ["a text with space at its end", "calculate", { expression: "1 " }, '{"expression":"1 "}'],
    ["a text like JSON", "calculate", { expression: "{}" }, '{"expression":"{}"}'],
    ["a number", "wait", { seconds: -1.5 }, "-1.5"],
    ["what is required alone", "count", { to: 3 }, "3"],
    ["more than what is required", "count", { to: 3, by: 2 }, '{"to":3,"by":2}'],
    ["a truth", "flag", { on: true }, '{"on":true}'],
    ["a list", "sum", { of: [1, 2] }, '{"of":[1,2]}'],
    ["several", "add", { a: 1, b: 2 }, '{"a":1,"b":2}'],
    ["none", "now", {}, "{}"],
    ["a tool that is not there", "else", { x: "1" }, '{"x":"1"}'],
    ["what is no object", "else", "x y", "x y"],
  ])("writes as it is read: %s", (_, name, input, written) => {
    const text = render([calling(name, input)]);
    expect(text).toBe(`<assistant><call>${name} ${written}<eos>`);
    const reply = text.slice("<assistant>".length, -"<eos>".length);
    expect(PLAIN.parse(reply, TOOLS)).toEqual({
      ...{ content: "", calls: [{ name, input }], malformed: [] },
    });
  });
});

describe("plain calls", () => {
  const calls = (text: string): unknown => PLAIN.parse(text, TOOLS).calls;
  const reasonOf = (text: string): string | undefined =>
    PLAIN.parse(text, TOOLS).malformed[0]?.reason;

  it("may be many, behind what is said", () => {
    const reply = PLAIN.parse(" so \n<call>now<call>calculate 1 + 1 <call>add oops", TOOLS);
    expect(reply.content).toBe(" so \n");
    expect(reply.calls).toEqual([
      { name: "now", input: {} },
      { name: "calculate", input: { expression: "1 + 1" } },
    ]);
    expect(reply.malformed.map(({ text }) => text)).toEqual(["<call>add oops"]);
  });

  it.each([
    ["wait 1e2", { seconds: 100 }],
    ["wait soon", { seconds: "soon" }],
    ["flag true", { on: true }],
    ["flag 1", { on: "1" }],
    ["sum [1,2]", { of: [1, 2] }],
    ["sum 1", { of: "1" }],
    ["calculate 12", { expression: "12" }],
  ])("take the type of their parameter where they can: %s", (text, input) => {
    expect(calls(`<call>${text}`)).toEqual([{ name: text.split(" ")[0], input }]);
  });

  it.each([
    ["", "a call must name a tool"],
    ["  ", "a call must name a tool"],
    ["now at once", "now takes no input"],
    ["add 1 2", 'must be JSON: <call>add {"a": ..., "b": ...}'],
    ["add {'a': 1}", "at character 2 it must have a name in double quotes"],
    ['add {"a": 1, "b": 2', "it ends before it is complete"],
    ['add {"a": 1} 2', 'behind the input of add there must be nothing, and is " 2"'],
  ])("say what is wrong with them: %s", (text, reason) => {
    expect(reasonOf(`<call>${text}`)).toContain(reason);
    expect(calls(`<call>${text}`)).toEqual([]);
  });

  it("know no more of a tool than its schema says", () => {
    const bare: ToolDefinition[] = [
      { name: "bare", parameters: {} },
      { name: "odd", parameters: { properties: { x: true } } },
    ];
    expect(PLAIN.parse("<call>bare 1<call>odd 1", bare)).toMatchObject({
      calls: [{ name: "odd", input: { x: "1" } }],
      malformed: [{ text: "<call>bare 1" }],
    });
  });
});
