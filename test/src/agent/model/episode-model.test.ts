/** Clients of an episode's policy: what is sampled stays as it was sampled, whatever clients make of it on the way. */
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ChatTemplate } from "../../../../engine/models/chat-template.ts";
import { EpisodeChat } from "../../../../src/agent/chat/episode-chat.ts";
import { defineEnvironment } from "../../../../src/agent/define-environment.ts";
import type { WrittenReply } from "../../../../src/agent/environment.ts";
import { type AgentModel, agentModel } from "../../../../src/agent/model/agent-model.ts";
import type { Policy } from "../../../../src/agent/policy.ts";
import { tool as agentTool } from "../../../../src/agent/tool/tool.ts";
import { idsOfReply, playScripted } from "../../../../src/train/episode/scripted-episode.ts";
import { ScriptedPolicy } from "../../../../src/train/episode/scripted-policy.ts";
import { languageOf } from "../../../../src/train/policy/language.ts";
import { newTokenizer } from "../../../../src/train/policy/new-tokenizer.ts";

const { tokenizer, files } = newTokenizer({ kind: "bytes", chat: true });
const template = ChatTemplate.from({
  template: files["chat_template.jinja"] as string,
  config: files["tokenizer_config.json"] as object,
});
const language = languageOf({ tokenizer, template, stopIds: [tokenizer.eosId as number] }, 4096);

const [question, add] = [
  { role: "user", content: "1+2, 3+4?" } as const,
  {
    type: "function" as const,
    function: {
      name: "add",
      parameters: { type: "object", properties: { x: { type: "string" } }, required: ["x"] },
    },
  },
];
const sum = (x: string): string =>
  String(x.split("+").reduce((all, each) => all + Number(each), 0));

/** A loop over messages, by any client; returns what the policy said last. */
type Loop = (model: AgentModel) => Promise<string | null | undefined>;

/** An episode in which the policy says these. Pieces of text come before the reply is there. */
async function played(loop: Loop, script: readonly WrittenReply[]) {
  const scripted = new ScriptedPolicy(language, (request, i) =>
    idsOfReply(script[i] as WrittenReply, request, language),
  );
  const policy: Policy = {
    language,
    async generate(request) {
      const reply = await scripted.generate(request);
      for (const piece of reply.text.split(/(?<= )/)) request.onText?.(piece);
      return reply;
    },
  };
  const answer = await loop(agentModel(new EpisodeChat(policy)));
  return { answer, requests: scripted.requests };
}

/** Whether each request goes on from the one before, id by id. */
function expectMerged(requests: ScriptedPolicy["requests"]): void {
  for (const [i, { promptIds, parent }] of requests.entries()) {
    const before = requests[i - 1];
    const known = before ? [...before.promptIds, ...before.responseIds] : [];
    expect(promptIds.slice(0, known.length)).toEqual(known);
    expect(parent).toBe(before ? i - 1 : null);
  }
}

const inProcess: Loop = (model) => openaiLoop(model.chat.completions.create);
const overFetch: Loop = ({ fetch, baseURL, apiKey }) => {
  const { completions } = new OpenAI({ fetch, baseURL, apiKey }).chat;
  return openaiLoop((request) => completions.create(request as never) as never);
};

async function openaiLoop(create: AgentModel["chat"]["completions"]["create"]) {
  const messages: OpenAI.ChatCompletionMessageParam[] = [question];
  for (;;) {
    const { choices } = await create({ messages, model: "policy", tools: [add] });
    const message = choices[0]?.message as OpenAI.ChatCompletionMessage;
    messages.push(message);
    if (choices[0]?.finish_reason !== "tool_calls") return message.content;
    messages.push(...answersTo(message));
  }
}

function answersTo({ tool_calls = [] }: OpenAI.ChatCompletionMessage) {
  return tool_calls.flatMap((call) => {
    if (call.type !== "function") return [];
    const content = sum(JSON.parse(call.function.arguments).x);
    return [{ role: "tool" as const, tool_call_id: call.id, content }];
  });
}

const streamed: Loop = async ({ fetch, baseURL, apiKey }) => {
  const { completions } = new OpenAI({ fetch, baseURL, apiKey }).chat;
  const messages: OpenAI.ChatCompletionMessageParam[] = [question];
  for (;;) {
    const runner = completions.stream({ model: "policy", messages, tools: [add] });
    const message = await runner.finalMessage();
    messages.push(message);
    if (!message.tool_calls?.length) return message.content;
    messages.push(...answersTo(message));
  }
};

/** A schema that changes what it is given: the client's history has other inputs than the policy wrote. */
const tools = {
  add: tool({
    inputSchema: z.object({ x: z.string().transform((x) => x.replaceAll(" ", "")) }),
    execute: ({ x }) => sum(x),
  }),
};
const ask = { tools, stopWhen: stepCountIs(9), messages: [question] };
const generated: Loop = async (model) => (await generateText({ model, ...ask })).text;
const streamedText: Loop = async (model) => streamText({ model, ...ask }).text;

describe.each<[name: string, loop: Loop]>([
  ["chat.completions", inProcess],
  ["the client of openai", overFetch],
  ["the client of openai, streamed", streamed],
  ["generateText", generated],
  ["streamText", streamedText],
])("%s", (_, loop) => {
  test("calls, beside one another and one by one, are one sequence of ids", async () => {
    const call = (x: string) => ({ name: "add", input: { x } });
    const { answer, requests } = await played(loop, [
      { content: "Let me see.", calls: [call("1 + 2"), call("3+4")] },
      { calls: [call("5+6")] },
      "3, 7, and 11.",
    ]);
    expect(answer).toBe("3, 7, and 11.");
    expect(requests).toHaveLength(3);
    expectMerged(requests);
    expect(tokenizer.decode(requests[2]?.promptIds ?? [])).toBe(
      "<user>1+2, 3+4?<assistant>Let me see.<call>add 1 + 2<call>add 3+4<eos><tool>3<tool>7" +
        "<assistant><call>add 5+6<eos><tool>11<assistant>",
    );
  });
});

test("all clients ask the policy the same, id by id", async () => {
  const script = [{ content: "Hm", calls: [{ name: "add", input: { x: "1+2" } }] }, "3."];
  const [first, ...others] = await Promise.all(
    [inProcess, overFetch, streamed].map((loop) => played(loop, script)),
  );
  for (const { requests } of others) expect(requests).toEqual(first?.requests);
});

test.each([true, false])(
  "a malformed call is text to the client, and stays one sequence (stream: %s)",
  async (stream) => {
    const loop: Loop = async ({ fetch, baseURL, apiKey }) => {
      const { completions } = new OpenAI({ fetch, baseURL, apiKey }).chat;
      const request = { model: "policy", tools: [add] };
      const content = async (messages: OpenAI.ChatCompletionMessageParam[]) => {
        if (!stream)
          return (await completions.create({ ...request, messages })).choices[0]?.message.content;
        let text = "";
        for await (const { choices } of await completions.create({ ...request, messages, stream }))
          text += choices[0]?.delta.content ?? "";
        return text;
      };
      const wrong = await content([question]);
      const correction = { role: "user", content: "no JSON" } as const;
      const history = [question, { role: "assistant", content: wrong } as never, correction];
      return `${wrong}\n${await content(history)}`;
    };
    const { answer, requests } = await played(loop, ["Well:<call>add {oops", "Sorry."]);
    expect(answer).toBe("Well:\n<call>add {oops\nSorry.");
    expectMerged(requests);
  },
);

test("a sub-agent's requests are its own, behind the latest of the agent that began it", async () => {
  const loop: Loop = async (model) => {
    await model.chat.completions.create({ messages: [question] });
    const helper = model.as("helper");
    return (await generateText({ model: helper, prompt: "help" })).text;
  };
  const { answer, requests } = await played(loop, ["one", "two"]);
  expect(answer).toBe("two");
  expect(requests.map(({ role, parent }) => [role, parent])).toEqual([
    ["main", null],
    ["helper", 0],
  ]);
});

test.each([
  ["generateText", generateText],
  ["streamText", streamText],
])(
  "an environment's agent by %s: its calls are recorded, those that are none too",
  async (_, ask) => {
    const call = (name: string) => ({ calls: [{ name, input: { x: "1+2" } }] });
    const script = ["<call>add {oops", call("sum"), call("add"), "3."];
    const environment = defineEnvironment({
      name: "sums",
      tasks: { train: ["1+2?"] },
      user: (task) => task,
      tools: { add: agentTool({ input: z.object({ x: z.string() }), run: ({ x }) => sum(x) }) },
      agent: async ({ model, tools, task }) => {
        const options = { model, tools: tools.forAiSdk(), stopWhen: stepCountIs(4) };
        await (await ask({ ...options, prompt: task })).text;
        return await (await ask({ ...options, prompt: `${task} Once more.` })).text;
      },
      rewards: { right: ({ result }) => Number(result === "3.") },
    });
    const { trace } = await playScripted({
      ...{ environment, task: "1+2?", seed: 1, language },
      answer: (request, i) => idsOfReply(script[i] as WrittenReply, request, language),
    });
    expect(trace.details?.toolCalls).toMatchObject([
      { requestIndex: 0, role: "main", status: "malformed", input: "<call>add {oops" },
      { requestIndex: 1, role: "main", status: "unknown_tool", name: "sum" },
      { requestIndex: 2, role: "main", status: "ok", name: "add", content: "3" },
    ]);
    expect(await environment.rewards["right"]?.score(trace)).toBe(1);
    expect(await environment.rewards["format"]?.score(trace)).toEqual([-1, -1, 0, 0]);
  },
);
