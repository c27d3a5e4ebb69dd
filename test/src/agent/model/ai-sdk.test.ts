/** The policy behind the real Vercel AI SDK. */
import {
  generateObject,
  generateText,
  type LanguageModel,
  NoObjectGeneratedError,
  stepCountIs,
  streamText,
  tool,
} from "ai";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { ForgeError } from "../../../../engine/error.ts";
import { type AgentModel, agentModel } from "../../../../src/agent/model/agent-model.ts";
import { errorOf, rejectionOf } from "../../../support/errors.ts";
import { ScriptedChat, type ScriptedReply } from "../../../support/scripted-chat.ts";

const warned: unknown[] = [];
const globals = globalThis as { AI_SDK_LOG_WARNINGS?: unknown };
beforeAll(() => {
  globals.AI_SDK_LOG_WARNINGS = (options: { warnings: unknown[] }) =>
    warned.push(...options.warnings);
});
afterAll(() => {
  delete globals.AI_SDK_LOG_WARNINGS;
});

function scripted(...script: (ScriptedReply | Error)[]) {
  const chat = new ScriptedChat(script);
  return { chat, model: agentModel(chat) };
}

const weather = tool({
  description: "The weather.",
  inputSchema: z.object({ city: z.string(), days: z.coerce.number().default(1) }),
  execute: ({ city, days }) => ({ city, days, sky: "grey" }),
});

test("the model is a LanguageModel", () => {
  expectTypeOf<AgentModel>().toExtend<LanguageModel>();
});

describe("generateText", () => {
  test("tells the prompt as messages, and all of the answer", async () => {
    const { chat, model } = scripted({ content: "Hi there.", reasoning: "greet", isCut: true });
    const result = await generateText({
      ...{ model, system: "be kind", prompt: "hello", maxOutputTokens: 9, temperature: 0.5 },
      stopSequences: ["\n"],
    });
    expect(chat.requests).toMatchObject([
      {
        messages: [
          { role: "system", content: "be kind" },
          { role: "user", content: "hello" },
        ],
        maxTokens: 9,
        stopStrings: ["\n"],
      },
    ]);
    expect(result.text).toBe("Hi there.");
    expect(result.reasoningText).toBe("greet");
    expect(result.finishReason).toBe("length");
    expect(result.usage).toMatchObject({ inputTokens: 3, outputTokens: 9 });
    expect(result.providerMetadata?.["forge-gpu"]).toEqual({
      promptIds: chat.replies[0]?.promptIds,
      ids: chat.replies[0]?.ids,
    });
    expect(result.response.modelId).toBe("policy");
    expect(warned).toEqual([]);
  });

  test("a loop of tools: the policy's messages come back as it said them, parsed inputs or not", async () => {
    const calls = [
      // as zod gives them back, these two are others: a number, a default, a key that is gone
      { name: "weather", input: { city: "Köln", days: "2", mood: "glad" } },
      { name: "weather", input: { city: "Bonn" } },
    ];
    const { chat, model } = scripted(
      { content: "Let me see.", calls, reasoning: "ask" },
      { content: "And", calls: [{ name: "weather", input: { city: "Rom" } }] },
      { content: "Grey." },
    );
    const result = await generateText({
      ...{ model, prompt: "hello", tools: { weather }, stopWhen: stepCountIs(5) },
    });
    expect(result.text).toBe("Grey.");
    expect(result.steps).toHaveLength(3);
    const [, second, third] = chat.requests;
    const grey = (city: string, days: number) => JSON.stringify({ city, days, sky: "grey" });
    expect(second?.messages.slice(1)).toEqual([
      chat.replies[0]?.message,
      { role: "tool", content: grey("Köln", 2), toolCallId: "call_0_0", name: "weather" },
      { role: "tool", content: grey("Bonn", 1), toolCallId: "call_0_1", name: "weather" },
    ]);
    expect(third?.messages.slice(0, 4)).toEqual(second?.messages);
    expect(third?.messages[4]).toBe(chat.replies[1]?.message);
    expect(second?.tools).toMatchObject([{ name: "weather", description: "The weather." }]);
  });

  test("inputs that fit no schema, tools that there are not, and tools that throw are told as errors", async () => {
    const failing = tool({
      inputSchema: z.object({}),
      execute: (): string => {
        throw new Error("no power");
      },
    });
    const { chat, model } = scripted(
      {
        calls: [
          { name: "weather", input: { town: "Köln" } },
          { name: "wether", input: {} },
          { name: "weather", input: "Köln" },
          { name: "failing", input: {} },
        ],
      },
      { content: "Sorry." },
    );
    await generateText({
      ...{ model, prompt: "hello", tools: { weather, failing }, stopWhen: stepCountIs(5) },
    });
    const [, said, ...told] = chat.requests[1]?.messages ?? [];
    expect(said).toBe(chat.replies[0]?.message);
    expect(new Map(told.map((m) => [(m as { toolCallId: string }).toolCallId, m.content]))).toEqual(
      new Map([
        ["call_0_0", expect.stringMatching(/^error: .*Invalid input/s)],
        ["call_0_1", expect.stringMatching(/^error: .*unavailable tool 'wether'/s)],
        ["call_0_2", expect.stringMatching(/^error: .*Invalid input/s)],
        ["call_0_3", "error: no power"],
      ]),
    );
  });

  test("what looks like a call and is none is text, and comes back as the policy said it", async () => {
    const malformed = [{ text: "<tool_call>{oops</tool_call>", reason: "no JSON" }];
    const { chat, model } = scripted({ malformed }, { content: "Sorry." });
    const result = await generateText({ model, prompt: "hello", tools: { weather } });
    expect(result.text).toBe("<tool_call>{oops</tool_call>");
    await generateText({
      model,
      messages: [
        { role: "user", content: "hello" },
        ...result.response.messages,
        { role: "user", content: "that was no call" },
      ],
    });
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
  });

  test("results of tools are told as text, whatever they are", async () => {
    const { chat, model } = scripted({});
    const output = (i: number, value: object) => ({
      role: "tool" as const,
      content: [
        {
          type: "tool-result" as const,
          toolCallId: `c${i}`,
          toolName: "t",
          output: value as never,
        },
      ],
    });
    const outputs = [
      { type: "text", value: "plain" },
      { type: "json", value: [1, null] },
      { type: "error-text", value: "no" },
      { type: "error-json", value: { code: 4 } },
      { type: "execution-denied", reason: "too dear" },
      { type: "content", value: ["a", "b"].map((text) => ({ type: "text", text })) },
    ];
    const calls = outputs.map((_, i) => ({
      ...{ type: "tool-call" as const, toolCallId: `c${i}`, toolName: "t", input: {} },
    }));
    await generateText({
      model,
      messages: [
        { role: "user", content: "hello" },
        { role: "assistant", content: calls },
        ...outputs.map((value, i) => output(i, value)),
      ],
    });
    expect(chat.requests[0]?.messages.slice(2).map(({ content }) => content)).toEqual([
      "plain",
      "[1,null]",
      "error: no",
      'error: {"code":4}',
      "error: too dear",
      "ab",
    ]);
  });

  test("refuses what a policy cannot read or be made to do, and asks nothing", async () => {
    const { chat, model } = scripted();
    const image = { type: "image" as const, image: new Uint8Array([137, 80, 78, 71]) };
    const refused = [
      generateText({ model, messages: [{ role: "user", content: [image] }] }),
      generateText({ model, prompt: "hello", tools: { weather }, toolChoice: "required" }),
      model.doGenerate({ prompt: [], tools: [{ type: "provider", name: "search" }] }),
    ];
    for (const each of refused) expect(await rejectionOf(each)).toBe("argument_invalid");
    expect(chat.requests).toEqual([]);
  });

  test("toolChoice none keeps the tools from the prompt", async () => {
    const { chat, model } = scripted({ content: "no" });
    await generateText({ model, prompt: "hello", tools: { weather }, toolChoice: "none" });
    expect(chat.requests[0]?.tools).toBeUndefined();
  });

  test("an error of the chat is thrown as it is, and the request is not made again", async () => {
    const { chat, model } = scripted(new ForgeError({ code: "context_exceeded", what: "full" }));
    expect(await rejectionOf(generateText({ model, prompt: "hello" }))).toBe("context_exceeded");
    expect(chat.requests).toHaveLength(1);
  });

  test("an abort ends the sampling", async () => {
    const { chat, model } = scripted({ isEndless: true });
    const stop = new AbortController();
    const asked = generateText({ model, prompt: "hello", abortSignal: stop.signal });
    await expect.poll(() => chat.requests.length).toBe(1);
    stop.abort();
    expect((await errorOf(asked)).name).toBe("AbortError");
    expect(chat.replies[0]?.finishReason).toBe("cancelled");
  });
});

describe("generateObject", () => {
  const schema = z.object({ city: z.string() });

  test("reads JSON that the policy wrote, and says that nothing holds it to that", async () => {
    warned.length = 0;
    const { model } = scripted({ content: '{"city":"Bonn"}' });
    expect((await generateObject({ model, prompt: "hello", schema })).object).toEqual({
      city: "Bonn",
    });
    expect(warned).toMatchObject([{ type: "unsupported", feature: "responseFormat" }]);
  });

  test.each(["Bonn", '{"city":', '{"city":3}', ""])(
    "is the SDK's own error for %j",
    async (text) => {
      const { chat, model } = scripted({ content: text });
      const error = await errorOf(generateObject({ model, prompt: "hello", schema }));
      expect(NoObjectGeneratedError.isInstance(error)).toBe(true);
      expect(chat.requests).toHaveLength(1);
    },
  );
});

describe("streamText", () => {
  test("tells text as it comes, and records what generateText records", async () => {
    const reply = { content: "One two three.", reasoning: "count" };
    const { chat, model } = scripted(reply, reply);
    const result = streamText({ model, prompt: "hello" });
    const texts: string[] = [];
    for await (const text of result.textStream) texts.push(text);
    expect(texts).toEqual(["One", " two", " three."]);
    expect(await result.reasoningText).toBe("count");
    const whole = await generateText({ model, prompt: "hello" });
    expect((await result.providerMetadata)?.["forge-gpu"]).toEqual(
      whole.providerMetadata?.["forge-gpu"],
    );
    expect(chat.replies[0]?.ids).toEqual(chat.replies[1]?.ids);
    expect(await result.usage).toEqual(whole.usage);
  });

  test("a loop of tools, calls beside one another", async () => {
    const calls = ["Köln", "Bonn"].map((city) => ({ name: "weather", input: { city } }));
    const pieces = ["Let me see.", "<tool_call>…"];
    const { chat, model } = scripted(
      { content: "Let me see.", calls, pieces },
      { content: "Grey." },
    );
    const result = streamText({
      ...{ model, prompt: "hello", tools: { weather }, stopWhen: stepCountIs(5) },
    });
    expect((await result.steps).map(({ text }) => text)).toEqual(["Let me see.", "Grey."]);
    expect(await result.finishReason).toBe("stop");
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
    expect(chat.requests[1]?.messages.slice(2)).toMatchObject([
      { role: "tool", toolCallId: "call_0_0", name: "weather" },
      { role: "tool", toolCallId: "call_0_1", name: "weather" },
    ]);
  });

  test("an abort in mid-stream ends the sampling, and the stream says so", async () => {
    const { chat, model } = scripted({ pieces: ["on "], isEndless: true });
    const stop = new AbortController();
    const result = streamText({ model, prompt: "hello", abortSignal: stop.signal });
    const types = new Set<string>();
    for await (const part of result.fullStream) {
      types.add(part.type);
      if (part.type === "text-delta") stop.abort();
    }
    expect(types).toContain("abort");
    expect(types).not.toContain("error");
    await expect.poll(() => chat.replies[0]?.finishReason).toBe("cancelled");
  });

  test("cancelling the stream ends the sampling", async () => {
    const { chat, model } = scripted({ pieces: ["on "], isEndless: true });
    const { stream } = await model.doStream({
      prompt: [{ role: "user", content: [{ type: "text", text: "hello" }] }],
    });
    for await (const part of stream) if (part.type === "text-delta") break;
    expect(chat.requests[0]?.signal?.aborted).toBe(true);
    await expect.poll(() => chat.replies[0]?.finishReason).toBe("cancelled");
  });

  test("an error is a part of the stream", async () => {
    const error = new ForgeError({ code: "device_lost", what: "gone" });
    const { model } = scripted(error);
    const errors: unknown[] = [];
    const result = streamText({
      ...{ model, prompt: "hello", onError: (event) => void errors.push(event.error) },
    });
    await result.consumeStream();
    expect(errors).toEqual([error]);
  });
});
