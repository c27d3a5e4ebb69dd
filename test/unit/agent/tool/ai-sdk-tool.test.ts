import { asSchema, generateText, stepCountIs, type ToolSet } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import { expect, it } from "vitest";
import { z } from "zod";
import { openTools } from "../../../../src/agent/tool/bound-tools.ts";
import { tool } from "../../../../src/agent/tool/tool.ts";

const add = tool({
  description: "The sum.",
  input: z.object({ a: z.number(), b: z.number() }),
  run: ({ a, b }) => a + b,
});

/** A model that makes these calls in its first answer and says "done" in its second. */
function calling(...inputs: readonly object[]): MockLanguageModelV3 {
  const usage = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  };
  const calls = inputs.map((input, i) => ({
    ...{ type: "tool-call" as const, toolCallId: `call-${i}`, toolName: "add" },
    input: JSON.stringify(input),
  }));
  const answer = <const R extends string>(unified: R) => ({
    finishReason: { unified, raw: undefined },
    ...{ usage, warnings: [] },
  });
  return new MockLanguageModelV3({
    doGenerate: [
      { content: calls, ...answer("tool-calls") },
      { content: [{ type: "text", text: "done" }], ...answer("stop") },
    ],
  });
}

it("tools run in the AI SDK's own loop, are told of as they are, and are recorded", async () => {
  const tools = await openTools(
    { add },
    {
      seed: 0,
      signal: new AbortController().signal,
      askedBy: (callId) => ({ requestIndex: callId === "call-0" ? 5 : 6, role: "main" }),
    },
  );
  const given: ToolSet = tools.forAiSdk();
  const model = calling({ a: 1, b: 2 }, { a: "x" });
  const { text } = await generateText({
    ...{ model, tools: given, prompt: "?", stopWhen: stepCountIs(3) },
  });
  expect(text).toBe("done");
  expect(tools.records.toSorted((a, b) => a.requestIndex - b.requestIndex)).toMatchObject([
    { requestIndex: 5, name: "add", status: "ok", content: "3" },
    { requestIndex: 6, name: "add", status: "invalid_input" },
  ]);
  const [first, second] = model.doGenerateCalls;
  expect(first?.tools).toMatchObject([
    { name: "add", description: "The sum.", inputSchema: add.inputSchema },
  ]);
  expect(first?.tools?.[0]).not.toHaveProperty("inputSchema.additionalProperties");
  const results = second?.prompt.flatMap(({ role, content }) => (role === "tool" ? content : []));
  expect(results).toMatchObject([
    { toolCallId: "call-0", output: { type: "text", value: "3" } },
    {
      toolCallId: "call-1",
      output: { type: "text", value: expect.stringMatching(/^error: the input does not fit: a: /) },
    },
  ]);
});

it("tools have a Standard Schema that is theirs", async () => {
  const tools = await openTools({ add }, { seed: 0, signal: new AbortController().signal });
  const { inputSchema } = tools.forAiSdk()["add"] ?? expect.fail();
  expect(inputSchema["~standard"].jsonSchema.input()).toEqual(add.inputSchema);
  expect(inputSchema["~standard"].validate({ a: 1 })).toEqual({ value: { a: 1 } });
  expect(await asSchema(inputSchema).jsonSchema).toEqual(add.inputSchema);
});
