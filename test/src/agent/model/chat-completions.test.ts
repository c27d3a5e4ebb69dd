/** The policy as a client of chat completions, without the package that it is like. */
import type OpenAI from "openai";
import { describe, expect, expectTypeOf, test } from "vitest";
import { ForgeError } from "../../../../engine/error.ts";
import { agentModel } from "../../../../src/agent/model/agent-model.ts";
import type {
  Completion,
  CompletionChunk,
  CompletionRequest,
} from "../../../../src/agent/model/openai-types.ts";
import { codeOf, errorOf, rejectionOf } from "../../../support/errors.ts";
import { ScriptedChat, type ScriptedReply } from "../../../support/scripted-chat.ts";

const hello = [{ role: "user", content: "hello" }] as const;
const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: {} } },
} as const;

function scripted(...script: (ScriptedReply | Error)[]) {
  const chat = new ScriptedChat(script);
  const model = agentModel(chat);
  return { chat, model, create: model.chat.completions.create };
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const contentOf = (chunks: readonly CompletionChunk[]): string =>
  chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");

describe("types", () => {
  test("requests of the package openai are taken, and answers are what it has", () => {
    expectTypeOf<OpenAI.ChatCompletionMessageParam[]>().toExtend<CompletionRequest["messages"]>();
    expectTypeOf<OpenAI.ChatCompletionCreateParamsNonStreaming>().toExtend<CompletionRequest>();
    expectTypeOf<OpenAI.ChatCompletionCreateParamsStreaming>().toExtend<CompletionRequest>();
    expectTypeOf<CompletionChunk>().toExtend<OpenAI.ChatCompletionChunk>();
    expectTypeOf<Completion>().toExtend<OpenAI.ChatCompletion>();
  });
});

describe("create", () => {
  test("asks for what comes next and tells all that was sampled", async () => {
    const { chat, create } = scripted({ content: "Hi there.", reasoning: "greet" });
    const completion = await create({
      messages: [{ role: "developer", content: "be kind" }, ...hello],
      ...{ max_tokens: 9, stop: "\n", temperature: 0.3, top_p: 0.5, seed: 4, logprobs: true },
    });
    expect(chat.requests).toMatchObject([
      {
        messages: [{ role: "system", content: "be kind" }, ...hello],
        maxTokens: 9,
        stopStrings: ["\n"],
      },
    ]);
    const { ids, logprobs, promptIds } = chat.replies[0] as (typeof chat.replies)[0];
    expect(completion).toMatchObject({
      object: "chat.completion",
      model: "policy",
      prompt_token_ids: promptIds,
      usage: { prompt_tokens: 3, completion_tokens: 9, total_tokens: 12 },
    });
    const [choice] = completion.choices;
    expect(choice?.message).toEqual({
      ...{ role: "assistant", content: "Hi there.", refusal: null, reasoning_content: "greet" },
    });
    expect(choice?.finish_reason).toBe("stop");
    expect(choice?.token_ids).toEqual(ids);
    expect(choice?.logprobs?.content.map(({ token, logprob }) => [token, logprob])).toEqual(
      ids.map((id, i) => [`token_id:${id}`, logprobs[i]]),
    );
  });

  test("a cut is finish_reason length; max_completion_tokens counts before max_tokens", async () => {
    const { chat, create } = scripted({ content: "and", isCut: true });
    const { choices } = await create({ messages: hello, max_tokens: 5, max_completion_tokens: 2 });
    expect(choices[0]?.finish_reason).toBe("length");
    expect(choices[0]?.logprobs).toBeNull();
    expect(chat.requests[0]?.maxTokens).toBe(2);
  });

  test("calls beside one another keep ids, names and inputs on their way there and back", async () => {
    const input = { city: "Köln", at: [1.5, -0], deep: { none: null } };
    const calls = [
      { name: "weather", input },
      { name: "weather", input: {} },
    ];
    const { chat, create } = scripted({ calls, content: "Let me see." }, { content: "Rain." });
    const first = await create({ messages: hello, tools: [weather] });
    expect(chat.requests[0]?.tools).toEqual([
      { name: "weather", parameters: weather.function.parameters },
    ]);
    const message = first.choices[0]?.message;
    expect(first.choices[0]?.finish_reason).toBe("tool_calls");
    expect(message?.tool_calls?.map((call) => JSON.parse(call.function.arguments))).toEqual([
      { city: "Köln", at: [1.5, 0], deep: { none: null } },
      {},
    ]);
    const answers = message?.tool_calls?.map(({ id }, i) => ({
      ...{ role: "tool", tool_call_id: id, content: `answer ${i}` },
    }));
    await create({
      messages: [...hello, message as never, ...(answers ?? [])],
      tools: [weather],
    });
    expect(chat.requests[1]?.messages).toEqual([
      ...hello,
      chat.replies[0]?.message,
      { role: "tool", content: "answer 0", toolCallId: "call_0_0", name: "weather" },
      { role: "tool", content: "answer 1", toolCallId: "call_0_1", name: "weather" },
    ]);
  });

  test("content is null where it made calls and said nothing, and the message is known again", async () => {
    const { chat, create } = scripted({ calls: [{ name: "weather", input: {} }] }, {});
    const first = await create({ messages: hello, tools: [weather] });
    expect(first.choices[0]?.message.content).toBeNull();
    await create({ messages: [...hello, first.choices[0]?.message as never] });
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
  });

  test("what looks like a call and is none is content, and comes back as the policy said it", async () => {
    const malformed = [{ text: "<tool_call>{oops</tool_call>", reason: "no JSON" }];
    const { chat, create } = scripted({ content: "Well:", malformed }, {});
    const first = await create({ messages: hello, tools: [weather] });
    const message = first.choices[0]?.message;
    expect(message?.content).toBe("Well:\n<tool_call>{oops</tool_call>");
    expect(first.choices[0]?.finish_reason).toBe("stop");
    await create({ messages: [...hello, message as never] });
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
  });

  test("thoughts that a client leaves out are those of the message; a message of its own stays", async () => {
    const { chat, create } = scripted({ content: "A", reasoning: "one" }, {});
    await create({ messages: hello });
    const own = { role: "assistant", content: "B" } as const;
    await create({ messages: [...hello, { role: "assistant", content: "A" }, own] });
    expect(chat.requests[1]?.messages).toEqual([...hello, chat.replies[0]?.message, own]);
  });

  test("of replies alike, the one at its place is meant", async () => {
    const { chat, create } = scripted(
      { content: "ok", reasoning: "first" },
      { content: "ok", reasoning: "second" },
      {},
    );
    const ok = { role: "assistant", content: "ok" } as const;
    await create({ messages: hello });
    await create({ messages: [...hello, ok, ...hello] });
    await create({ messages: [...hello, ok, ...hello, ok, ...hello] });
    expect(chat.requests[2]?.messages[1]).toBe(chat.replies[0]?.message);
    expect(chat.requests[2]?.messages[3]).toBe(chat.replies[1]?.message);
  });

  test("inputs that a client changes are the client's", async () => {
    const { chat, create } = scripted({ calls: [{ name: "weather", input: { a: 1 } }] }, {});
    const first = await create({ messages: hello, tools: [weather] });
    const [call] = first.choices[0]?.message.tool_calls ?? [];
    const edited = { ...call, function: { name: "weather", arguments: '{"a":2}' } };
    const message = { role: "assistant", content: null, tool_calls: [edited as never] };
    await create({ messages: [...hello, message] });
    expect(chat.requests[1]?.messages[1]).toMatchObject({ toolCalls: [{ input: { a: 2 } }] });
  });

  test("text parts are joined; tool_choice none keeps the tools from the prompt", async () => {
    const { chat, create } = scripted({ content: "yes" });
    const content = ["he", "llo"].map((text) => ({ type: "text", text }));
    await create({ messages: [{ role: "user", content }], tools: [weather], tool_choice: "none" });
    expect(chat.requests[0]?.messages).toEqual(hello);
    expect(chat.requests[0]?.tools).toBeUndefined();
  });

  test("a sub-agent asks under its own name, and knows what the others were handed", async () => {
    const { chat, model } = scripted({ content: "plan", reasoning: "hm" }, { content: "done" });
    await model.chat.completions.create({ messages: hello });
    const worker = model.as("worker");
    await worker.chat.completions.create({
      messages: [...hello, { role: "assistant", content: "plan" }],
    });
    expect(chat.requests.map(({ role }) => role)).toEqual(["main", "worker"]);
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
  });

  test("onReply hears of malformed calls, which clients are told as text", async () => {
    const malformed = [{ text: "<call>?", reason: "no name" }];
    const chat = new ScriptedChat([{ malformed }, { malformed }]);
    const heard: unknown[] = [];
    const model = agentModel(chat, { id: "mine", onReply: (...of) => heard.push(of) });
    await model.chat.completions.create({ messages: hello });
    const worker = model.as("worker").chat.completions;
    await all(await worker.create({ messages: hello, stream: true }));
    const [first, second] = chat.replies;
    expect(heard).toEqual([
      [first, "main", []],
      [second, "worker", []],
    ]);
    expect((await model.models.list()).data).toMatchObject([{ id: "mine", object: "model" }]);
  });

  test.each<[name: string, request: object, where: string]>([
    ["no messages", { messages: [] }, "messages"],
    ["no such role", { messages: [{ role: "robot", content: "" }] }, "messages[0].role"],
    [
      "content that is a number",
      { messages: [{ role: "user", content: 3 }] },
      "messages[0].content",
    ],
    [
      "an image",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages[0].content[0]",
    ],
    ["several answers", { messages: hello, n: 2 }, "n"],
    ["alternatives", { messages: hello, top_logprobs: 5 }, "top_logprobs"],
    ["tokens of none", { messages: hello, max_tokens: 0 }, "max_tokens"],
    ["half a token", { messages: hello, max_completion_tokens: 1.5 }, "max_completion_tokens"],
    ["an empty stop string", { messages: hello, stop: [""] }, "stop"],
    ["a call that is forced", { messages: hello, tool_choice: "required" }, "tool_choice"],
    [
      "a tool that is no function",
      { messages: hello, tools: [{ type: "custom" }] },
      "tools[0].type",
    ],
    [
      "an answer of a tool to nothing",
      { messages: [{ role: "tool", content: "" }] },
      "messages[0]",
    ],
    [
      "an answer to a call that nobody made",
      { messages: [{ role: "tool", content: "", tool_call_id: "c" }] },
      "messages[0]",
    ],
    [
      "arguments that are no JSON",
      {
        messages: [
          {
            role: "assistant",
            tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{" } }],
          },
        ],
      },
      "messages[0].tool_calls[0].function.arguments",
    ],
  ])("refuses %s, and says where", async (_, request, where) => {
    const { chat, create } = scripted({ content: "never" });
    const error = await errorOf(create(request as CompletionRequest));
    expect(
      codeOf(() => {
        throw error;
      }),
    ).toBe("argument_invalid");
    expect(error.message).toContain(where);
    expect(chat.requests).toEqual([]);
  });

  test("errors of the chat are thrown as they are; an abort throws its reason", async () => {
    const full = new ForgeError({ code: "context_exceeded", what: "full" });
    const { chat, create } = scripted(full, full, { isEndless: true });
    expect(await rejectionOf(create({ messages: hello }))).toBe("context_exceeded");
    expect(await rejectionOf(create({ messages: hello, stream: true }))).toBe("context_exceeded");
    const reason = new Error("enough");
    const stop = new AbortController();
    const asked = create({ messages: hello }, { signal: stop.signal });
    stop.abort(reason);
    expect(await errorOf(asked)).toBe(reason);
    expect(await errorOf(create({ messages: hello }, { signal: stop.signal }))).toBe(reason);
    expect(chat.requests).toHaveLength(3);
  });
});

describe("create with stream", () => {
  const streamed = { messages: hello, stream: true } as const;

  test("tells content as it comes, and records what the other way records", async () => {
    const reply = { content: "One two three.", reasoning: "count" };
    const { chat, create } = scripted(reply, reply);
    const chunks = await all(
      await create({ ...streamed, logprobs: true, stream_options: { include_usage: true } }),
    );
    const whole = await create({ messages: hello, logprobs: true });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content).filter(Boolean).length).toBe(3);
    expect(contentOf(chunks)).toBe("One two three.");
    const last = chunks.at(-2);
    expect(last?.choices[0]).toEqual({
      ...{ index: 0, delta: {}, finish_reason: "stop" },
      logprobs: whole.choices[0]?.logprobs,
      token_ids: whole.choices[0]?.token_ids,
    });
    expect(last?.prompt_token_ids).toEqual(whole.prompt_token_ids);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect(chunks.some(({ choices }) => choices[0]?.delta.reasoning_content === "count")).toBe(
      true,
    );
    expect(chat.replies[0]?.ids).toEqual(chat.replies[1]?.ids);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  test("text that may be part of a call waits until the end", async () => {
    const calls = [{ name: "weather", input: { city: "Bonn" } }];
    const pieces = ["Well, ", "<tool", '_call>{"name"', "…</tool_call>"];
    const { chat, create } = scripted({ content: "Well,", calls, pieces }, {});
    const chunks = await all(await create({ ...streamed, tools: [weather] }));
    expect(contentOf(chunks)).toBe("Well,");
    const deltas = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    const call = { name: "weather", arguments: '{"city":"Bonn"}' };
    expect(deltas).toEqual([{ index: 0, id: "call_0_0", type: "function", function: call }]);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("tool_calls");
    const message = { role: "assistant", content: "Well,", tool_calls: deltas };
    await create({ messages: [...hello, message] });
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
  });

  test("where there are tools all text waits: a call may begin with a token without text", async () => {
    const calls = [{ name: "weather", input: { city: "Bonn" } }];
    const pieces = ["Well, ", "weather ", "Bonn"];
    const { create } = scripted({ content: "Well,", calls, pieces });
    expect(contentOf(await all(await create({ ...streamed, tools: [weather] })))).toBe("Well,");
  });

  test("what was told is known again, though it was no content in the end", async () => {
    const pieces = ["  I think ", "\n so", "</think> Yes."];
    const { chat, create } = scripted({ content: "Yes.", reasoning: "I think so", pieces }, {});
    const told = contentOf(await all(await create(streamed)));
    expect(told).toBe("I think \n so");
    await create({ messages: [...hello, { role: "assistant", content: told }] });
    expect(chat.requests[1]?.messages[1]).toBe(chat.replies[0]?.message);
  });

  test("leaving the loop ends the sampling", async () => {
    const { chat, create } = scripted({ pieces: ["on and on "], isEndless: true });
    for await (const { choices } of await create(streamed)) {
      if (choices[0]?.delta.content) break;
    }
    expect(chat.requests[0]?.signal?.aborted).toBe(true);
    await expect.poll(() => chat.replies[0]?.finishReason).toBe("cancelled");
  });

  test("an abort ends the stream without an error, by its controller and by the signal", async () => {
    const endless = { pieces: ["a "], isEndless: true };
    const { chat, create } = scripted(endless, endless);
    const stop = new AbortController();
    for (const options of [{}, { signal: stop.signal }]) {
      const stream = await create(streamed, options);
      const seen: CompletionChunk[] = [];
      for await (const chunk of stream) {
        seen.push(chunk);
        if (contentOf(seen) === "a") (options.signal ? stop : stream.controller).abort();
      }
      expect(seen.at(-1)?.choices[0]?.finish_reason).toBeNull();
    }
    expect(chat.replies.map(({ finishReason }) => finishReason)).toEqual([
      "cancelled",
      "cancelled",
    ]);
  });
});
