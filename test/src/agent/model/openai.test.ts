/** The policy behind the real client of the package openai. */
import OpenAI from "openai";
import type { RunnableToolFunctionWithParse } from "openai/lib/RunnableFunction";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ForgeError } from "../../../../engine/error.ts";
import { agentModel } from "../../../../src/agent/model/agent-model.ts";
import { errorOf } from "../../../support/errors.ts";
import { ScriptedChat, type ScriptedReply } from "../../../support/scripted-chat.ts";

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: "hello" }];
const weather: OpenAI.ChatCompletionTool = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: {} } },
};

function scripted(...script: (ScriptedReply | Error)[]) {
  const chat = new ScriptedChat(script);
  const { fetch, baseURL, apiKey } = agentModel(chat);
  return { chat, fetch, baseURL, client: new OpenAI({ fetch, baseURL, apiKey }) };
}

describe("chat.completions.create", () => {
  test("a loop of one's own: what was handed out comes back as it was said", async () => {
    const calls = ["Köln", "Bonn"].map((city) => ({ name: "weather", input: { city } }));
    const { chat, client } = scripted(
      { content: "Let me see.", calls, reasoning: "ask" },
      { content: "Rain." },
    );
    const history = [...messages];
    for (;;) {
      const request = { model: "any", messages: history, tools: [weather] };
      const [choice] = (await client.chat.completions.create(request)).choices;
      history.push(choice?.message as OpenAI.ChatCompletionMessage);
      if (choice?.finish_reason !== "tool_calls") break;
      for (const call of choice.message.tool_calls ?? [])
        history.push({ role: "tool", tool_call_id: call.id, content: "wet" });
    }
    const wet = { role: "tool", content: "wet", name: "weather" };
    expect(chat.requests[1]?.messages).toEqual([
      ...messages,
      chat.replies[0]?.message,
      { ...wet, toolCallId: "call_0_0" },
      { ...wet, toolCallId: "call_0_1" },
    ]);
    expect(chat.requests).toHaveLength(2);
  });

  test("streamed, it is the same ids", async () => {
    const reply = { content: "One two three." };
    const { chat, client } = scripted(reply, reply);
    const request = { model: "any", messages };
    const whole = await client.chat.completions.create(request);
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true }))
      chunks.push(chunk);
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "");
    expect(text.filter(Boolean).length).toBe(3);
    expect(text.join("")).toBe(whole.choices[0]?.message.content);
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ token_ids: chat.replies[0]?.ids });
    expect(whole.choices[0]).toMatchObject({ token_ids: chat.replies[1]?.ids });
  });

  test("leaving a stream, or aborting it, ends the sampling", async () => {
    const endless = { pieces: ["on "], isEndless: true };
    const { chat, client } = scripted(endless, endless);
    const request = { model: "any", messages, stream: true } as const;
    for await (const _ of await client.chat.completions.create(request)) break;
    const stop = new AbortController();
    const stream = await client.chat.completions.create(request, { signal: stop.signal });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) stop.abort();
    await expect
      .poll(() => chat.replies.map(({ finishReason }) => finishReason))
      .toEqual(["cancelled", "cancelled"]);
  });

  test("an abort while it waits is the client's own error", async () => {
    const { chat, client } = scripted({ isEndless: true });
    const stop = new AbortController();
    const asked = client.chat.completions.create(
      { model: "any", messages },
      { signal: stop.signal },
    );
    await expect.poll(() => chat.requests.length).toBe(1);
    stop.abort();
    expect(await errorOf(asked)).toBeInstanceOf(OpenAI.APIUserAbortError);
    await expect.poll(() => chat.replies[0]?.finishReason).toBe("cancelled");
  });
});

describe("helpers", () => {
  test("runTools runs what the policy calls, all of it", async () => {
    const calls = [3, 4].map((x) => ({ name: "square", input: { x } }));
    const { chat, client } = scripted({ calls }, { content: "9 and 16" });
    const square: RunnableToolFunctionWithParse<{ x: number }> = {
      type: "function",
      function: {
        name: "square",
        description: "x²",
        parameters: { type: "object", properties: { x: { type: "number" } } },
        parse: (text) => z.object({ x: z.number() }).parse(JSON.parse(text)),
        function: ({ x }) => String(x * x),
      },
    };
    const runner = client.chat.completions.runTools({ model: "any", messages, tools: [square] });
    expect(await runner.finalContent()).toBe("9 and 16");
    expect(chat.requests[1]?.messages.slice(1)).toEqual([
      chat.replies[0]?.message,
      { role: "tool", content: "9", toolCallId: "call_0_0", name: "square" },
      { role: "tool", content: "16", toolCallId: "call_0_1", name: "square" },
    ]);
  });

  test("stream puts calls and text together again", async () => {
    const calls = [{ name: "weather", input: { city: "Bonn" } }];
    const { chat, client } = scripted({ content: "Well,", calls });
    const request = { model: "any", messages, tools: [weather] };
    const completion = await client.chat.completions.stream(request).finalChatCompletion();
    expect(completion.choices[0]?.message).toMatchObject({
      content: "Well,",
      tool_calls: [{ id: "call_0_0", function: { name: "weather", arguments: '{"city":"Bonn"}' } }],
    });
    expect(completion.choices[0]?.finish_reason).toBe("tool_calls");
    expect(chat.requests).toHaveLength(1);
  });

  test("models.list names the policy", async () => {
    const { client } = scripted();
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(["policy"]);
  });
});

describe("errors", () => {
  test.each<[name: string, error: ForgeError, code: string, type: new (...of: never[]) => Error]>([
    [
      "a context that is full",
      new ForgeError({ code: "context_exceeded", what: "no room" }),
      "context_length_exceeded",
      OpenAI.BadRequestError,
    ],
    [
      "messages that the template refuses",
      new ForgeError({ code: "template_invalid", what: "no" }),
      "template_invalid",
      OpenAI.BadRequestError,
    ],
    [
      "a sampler that has ended",
      new ForgeError({ code: "sampler_closed", what: "over" }),
      "sampler_closed",
      OpenAI.InternalServerError,
    ],
  ])("%s is the client's typed error, asked once", async (_, error, code, type) => {
    const { chat, client } = scripted(error, error);
    const request = { model: "any", messages };
    const thrown = [
      await errorOf(client.chat.completions.create(request)),
      await errorOf(client.chat.completions.create({ ...request, stream: true })),
    ];
    for (const each of thrown) {
      expect(each).toBeInstanceOf(type);
      expect(each).toMatchObject({ code, error: { message: error.message } });
    }
    expect(chat.requests).toHaveLength(2);
  });

  test("a request that is malformed is 400 and no request of the episode", async () => {
    const { chat, client } = scripted();
    const image = { type: "image_url", image_url: { url: "data:" } } as const;
    const error = await errorOf(
      client.chat.completions.create({
        model: "any",
        messages: [{ role: "user", content: [image] }],
      }),
    );
    expect(error).toMatchObject({
      ...{ status: 400, code: "argument_invalid", type: "invalid_request_error" },
    });
    expect(chat.requests).toEqual([]);
  });

  test("an error in mid-stream is thrown by the loop", async () => {
    const { chat, client } = scripted({ content: "a b c" });
    chat.ask = async ({ onText }) => {
      onText?.("a");
      await new Promise((resolve) => setImmediate(resolve));
      throw new ForgeError({ code: "device_lost", what: "gone" });
    };
    const stream = await client.chat.completions.create({ model: "any", messages, stream: true });
    const read = (async () => {
      for await (const _ of stream);
    })();
    expect(await errorOf(read)).toMatchObject({ code: "device_lost" });
  });

  test.each([
    ["POST", "/embeddings"],
    ["GET", "/chat/completions"],
    ["GET", "/models/policy"],
  ])("%s %s is 404 in OpenAI's form", async (method, path) => {
    const { fetch, baseURL } = scripted();
    const answer = await fetch(`${baseURL}${path}`, { method });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      error: { type: "invalid_request_error", code: "unknown_url", param: null },
    });
  });

  test("another host is not answered either; a body that is no JSON is 400", async () => {
    const { fetch, baseURL } = scripted();
    expect((await fetch("http://localhost/v1/models")).status).toBe(404);
    const url = new URL(`${baseURL}/chat/completions`);
    const answer = await fetch(new Request(url, { method: "POST", body: "{" }));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: "argument_invalid" } });
  });
});
