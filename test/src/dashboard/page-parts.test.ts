import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MetricRows } from "../../../src/dashboard/api.ts";
import { keyRows, leavesOf } from "../../../src/dashboard/page/configuration.ts";
import { sectionsOf } from "../../../src/dashboard/page/curve-groups.ts";
import { merge } from "../../../src/dashboard/page/metric-rows.ts";
import { smoothed } from "../../../src/dashboard/page/smoothing.ts";
import { newPrompt } from "../../../src/dashboard/page/turns.ts";
import { tickText } from "../../../src/dashboard/page/words.ts";
import { METRICS } from "../../../src/train/run/metric-catalogue.ts";

describe("charts", () => {
  it("have each metric once, and those of a user by themselves", () => {
    const names = [
      ...Object.keys(METRICS).filter((name) => !name.includes("<")),
      "mine/a",
      "mine/b",
    ];
    const sections = sectionsOf(names);
    const shown = sections.flatMap(({ curves }) => curves.flatMap(({ metrics }) => metrics));
    expect(shown.toSorted()).toEqual(names.toSorted());
    expect(sections.at(-1)?.curves).toEqual([{ title: "mine", metrics: ["mine/a", "mine/b"] }]);
  });

  it("begin with the reward, or without one with the loss", () => {
    const first = (...names: string[]): unknown => sectionsOf(names)[0]?.curves[0];
    const reward = { title: "Reward", metrics: ["reward/mean", "reward/max"] };
    expect(first("losses/loss", "reward/max", "reward/right", "reward/mean")).toEqual(reward);
    expect(first("losses/loss", "eval/loss")).toMatchObject({
      metrics: ["losses/loss", "eval/loss"],
    });
  });

  it("have ticks that can be told apart", () => {
    const ticks = (step: number): string[] => [1, 2, 3].map((i) => tickText(i * step, step));
    expect(ticks(0.25)).toEqual(["0.25", "0.50", "0.75"]);
    expect(ticks(5)).toEqual(["5", "10", "15"]);
    expect(ticks(2e-7)).toEqual(["2e−7", "4e−7", "6e−7"]);
    expect(tickText(-0.5, 0.5, "share")).toBe("−50 %");
    fc.assert(
      fc.property(
        fc.integer({ min: -9, max: 3 }),
        fc.constantFrom(1, 2, 2.5, 5),
        (power, digit) => {
          expect(new Set(ticks(digit * 10 ** power)).size).toBe(3);
        },
      ),
    );
  });
});

describe("smoothing", () => {
  it("is the weighted mean of what came before", () => {
    const values = [4, null, 1, 7];
    const [a, b] = [0.5, 0.25];
    const last = (7 + a * 1 + b * 4) / (1 + a + b);
    expect(smoothed(values, 0.5)).toEqual([4, null, (1 + a * 4) / (1 + a), last]);
    expect(smoothed(values, 0)).toEqual(values);
  });
});

describe("rows of metrics", () => {
  const rows = (
    generation: number,
    from: number,
    columns: Record<string, (number | null)[]>,
  ): MetricRows => {
    const { length } = Object.values(columns)[0] ?? [];
    const steps = Array.from({ length }, (_, i) => from + i);
    return {
      generation,
      from,
      steps,
      wallTimes: steps,
      columns,
      words: {},
      warnings: [],
      unreadable: 0,
    };
  };

  it("are added where they follow", () => {
    const both = merge(rows(1, 0, { a: [1, 2] }), rows(1, 2, { b: [3] }));
    expect(both.steps).toEqual([0, 1, 2]);
    expect(both.columns).toEqual({ a: [1, 2, null], b: [null, null, 3] });
  });

  it("are taken alone where they do not", () => {
    for (const news of [rows(2, 0, { a: [9] }), rows(1, 0, { a: [9] }), rows(1, 5, { a: [9] })])
      expect(merge(rows(1, 0, { a: [1, 2] }), news)).toBe(news);
  });
});

describe("what is new in a prompt", () => {
  const turn = (request: number, prompt: string, response: string, more: object = {}): object => {
    return { request, role: "main", prompt, response, ...more };
  };

  it("follows the prompt and answer before it", () => {
    const turns = [turn(0, "P", "a"), turn(1, "Pa+T", "b")];
    expect(newPrompt(turns, 0)).toEqual({ text: "P", known: 0, isFork: false });
    expect(newPrompt(turns, 1)).toEqual({ text: "+T", known: 2, isFork: false });
  });

  it("is all of it where the history was rewritten", () => {
    const turns = [turn(0, "Prompt", "a"), turn(1, "Summary", "b")];
    expect(newPrompt(turns, 1)).toEqual({ text: "Summary", known: 0, isFork: true });
  });

  it("goes by the parent, or where there is none by the role", () => {
    const turns = [turn(0, "A", "x"), turn(1, "B", "y", { role: "sub" }), turn(2, "Ax!", "z")];
    expect(newPrompt(turns, 2)).toMatchObject({ text: "!", known: 2 });
    expect(newPrompt(turns, 1)).toMatchObject({ text: "B", isFork: false });
    const parted = [turn(0, "A", "x"), turn(1, "Q", "y"), turn(2, "Ax!", "z", { parent: 0 })];
    expect(newPrompt(parted, 2)).toMatchObject({ text: "!", known: 2 });
  });
});

describe("configurations", () => {
  it("are compared key by key", () => {
    const rows = keyRows([
      { a: { b: 1, c: [1, 2] }, d: {} },
      { a: { b: 2, c: [1, 2] }, e: null },
    ]);
    const different = rows.flatMap(({ key, isSame }) => (isSame ? [] : [key]));
    expect(different).toEqual(["a.b", "d", "e"]);
    expect(rows.find(({ key }) => key === "a.b")?.values).toEqual([1, 2]);
    expect(leavesOf({ a: { b: { c: null } } })).toEqual([["a.b.c", null]]);
  });
});
