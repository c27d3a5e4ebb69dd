/** The agent that is there by default, played with what the policy is to say. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ChatTemplate } from "../../../engine/models/chat-template.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { WrittenReply } from "../../../src/agent/environment.ts";
import type { Message } from "../../../src/agent/message.ts";
import { tool } from "../../../src/agent/tool/tool.ts";
import { idsOfReply, playScripted } from "../../../src/train/episode/scripted-episode.ts";
import { languageOf } from "../../../src/train/policy/language.ts";
import { newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";

const { tokenizer, files } = newTokenizer({ kind: "bytes", chat: true });
const template = ChatTemplate.from({
  template: files["chat_template.jinja"] as string,
  config: files["tokenizer_config.json"] as object,
});
const language = languageOf({ tokenizer, template, stopIds: [tokenizer.eosId as number] }, 4096);

const step = { content: "On.", calls: [{ name: "step", input: {} }] };
const tools = { step: tool({ input: z.object({}), run: () => "ok" }) };

/** Plays what is left of a definition; the policy says `script`, then only its last reply. */
async function played(
  given: Partial<Parameters<typeof defineEnvironment<string, { steps: number }>>[0]>,
  script: readonly WrittenReply[],
) {
  const environment = defineEnvironment<string, { steps: number }>({
    name: "walk",
    tasks: { train: ["go"] },
    state: () => ({ steps: 0 }),
    user: (task) => task,
    tools,
    rewards: { one: () => 1 },
    ...given,
  });
  const { trace, requests } = await playScripted({
    ...{ environment, task: "go", seed: 1, language },
    answer: (request, i) =>
      idsOfReply((script[i] ?? script.at(-1)) as WrittenReply, request, language),
  });
  const texts = requests.map(({ promptIds }) => tokenizer.decode(promptIds));
  return { trace, texts, result: (trace.result as { result: unknown }).result };
}

describe("the default agent", () => {
  it("asks until nothing is called, and its result is the last content", async () => {
    const { texts, result } = await played({}, [step, step, "There."]);
    expect(result).toBe("There.");
    expect(texts.at(-1)).toBe(
      "<user>go<assistant>On.<call>step {}<eos><tool>ok<assistant>On.<call>step {}<eos><tool>ok<assistant>",
    );
  });

  it.each([1, 3])("asks %i times at most, and runs the calls of the last answer too", async (n) => {
    const { trace, texts, result } = await played({ maxTurns: n }, [step]);
    expect(texts).toHaveLength(n);
    expect(trace.details?.toolCalls).toHaveLength(n);
    expect(result).toBe("On.");
  });

  it("asks 8 times where nothing is said of it", async () => {
    expect((await played({}, [step])).texts).toHaveLength(8);
  });

  it("ends when the state says so, which tools have changed", async () => {
    const counting = {
      tools: ({ state }: { state: { steps: number } }) => ({
        step: tool({ input: z.object({}), run: () => ++state.steps }),
      }),
      isDone: ({ state }: { state: { steps: number } }) => state.steps === 2,
    };
    expect((await played(counting, [step])).texts).toHaveLength(2);
  });

  it("is shown what its context manager leaves, and goes on from there", async () => {
    const seen: [turn: number, tokens: number][] = [];
    const { texts } = await played(
      {
        maxTurns: 3,
        context: ({ messages, turn, tokens }): readonly Message[] | undefined => {
          seen.push([turn, tokens]);
          return turn === 2 ? [...messages.slice(0, 1), ...messages.slice(-2)] : undefined;
        },
      },
      [{ ...step, content: "One." }, { ...step, content: "Two." }, step],
    );
    expect(texts[1]).toContain("One.");
    expect(texts[2]).toBe("<user>go<assistant>Two.<call>step {}<eos><tool>ok<assistant>");
    expect(seen.map(([turn]) => turn)).toEqual([0, 1, 2]);
    expect(seen[0]?.[1]).toBe(0);
    expect(seen[1]?.[1]).toBeGreaterThan(tokenizer.encode(texts[0] as string).length);
  });
});
