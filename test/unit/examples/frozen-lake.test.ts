import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../engine/index.ts";
import { environment } from "../../../examples/frozen-lake/environment.ts";
import type { WrittenReply } from "../../../src/agent/environment.ts";
import { scoreEpisode } from "../../../src/train/episode/scores.ts";
import { idsOfReply, playScripted } from "../../../src/train/episode/scripted-episode.ts";
import { languageOf } from "../../../src/train/policy/language.ts";
import { newTokenizer } from "../../../src/train/policy/new-tokenizer.ts";

const { tokenizer, files } = newTokenizer({ kind: "bytes", chat: true });
const template = ChatTemplate.from({
  template: files["chat_template.jinja"] as string,
  config: files["tokenizer_config.json"] as object,
});
const language = languageOf({ tokenizer, template }, 512);

/** Plays a lake by steps, or by what `step` says next. */
async function play(
  lake: string,
  step: (turn: number, seen: string) => WrittenReply | Promise<WrittenReply>,
): Promise<{ readonly isSuccess: boolean; readonly seen: readonly string[] }> {
  const { trace } = await playScripted({
    ...{ environment, task: lake, language, seed: 1 },
    answer: async (request, turn) =>
      idsOfReply(await step(turn, request.chat?.messages.at(-1)?.content ?? ""), request, language),
  });
  const { isSuccess } = await scoreEpisode(environment, trace);
  const seen = (trace.details?.toolCalls ?? []).map(({ content }) => content);
  return { isSuccess, seen };
}

const move = (direction: string): WrittenReply => ({
  calls: [{ name: "move", input: { direction } }],
});

describe("examples/frozen-lake", () => {
  const lakes = Array.from({ length: environment.trainCount }, (_, i) => environment.train(i));

  it("has lakes of three or four holes, and holds some of them out", () => {
    const all = [...lakes, ...environment.eval];
    expect(new Set(all).size).toBe(lakes.length + environment.eval.length);
    for (const lake of all) expect(lake).toMatch(/^\.[.o]{14}G$/);
    expect(new Set(all.map((lake) => lake.split("o").length - 1))).toEqual(new Set([3, 4]));
    expect(environment.eval).toHaveLength(128);
  });

  it("can be crossed, every lake of it", async () => {
    for (const lake of [...environment.eval.slice(0, 8), ...lakes.slice(0, 8)]) {
      const way = environment.validate?.(lake) as readonly WrittenReply[];
      expect((await play(lake, (turn) => way[turn] as WrittenReply)).isSuccess, lake).toBe(true);
    }
  });

  it("tells where one is and what lies beside it, and stops at the shore", async () => {
    const { isSuccess, seen } = await play("..o..o....o....G", (turn) =>
      move("nwes"[turn] as string),
    );
    expect(seen).toEqual(["a1 #..#", "a1 #..#", "b1 #oo.", "the ice breaks"]);
    expect(isSuccess).toBe(false);
  });

  it("ends after ten steps that lead nowhere", async () => {
    const { isSuccess, seen } = await play(environment.eval[0] as string, () => move("w"));
    expect(seen).toHaveLength(10);
    expect(isSuccess).toBe(false);
  });

  it("demonstrates how to walk, and no more", async () => {
    const PLAYS = 60;
    let crossed = 0;
    for (const task of lakes.slice(0, PLAYS)) {
      const { isSuccess } = await play(task, (turn, content) => {
        const messages = [{ role: "user" as const, content }];
        return environment.demonstrate?.({ task, turn, messages, tools: [], role: "main" }) ?? "";
      });
      crossed += Number(isSuccess);
    }
    expect(crossed / PLAYS).toBeGreaterThan(0.3);
    expect(crossed / PLAYS).toBeLessThan(0.6);
  });
});
