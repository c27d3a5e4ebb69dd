import { describe, expect, it } from "vitest";
import { trainingQuestion, unseenQuestions } from "../../../../examples/sql-agent/questions.ts";

const TRAINING = Array.from({ length: 10_000 }, (_, index) => trainingQuestion(index));

const partsOf = (combination: string): string[] =>
  combination.split("/").map((part, place) => `${place} ${part}`);

describe("questions about the shop", () => {
  it("hold out combinations that no training question has", () => {
    const seen = new Set(TRAINING.map(({ combination }) => combination));
    const unseen = unseenQuestions.map(({ combination }) => combination);
    expect(new Set(unseen).size).toBe(unseen.length);
    expect(unseen.length).toBeGreaterThanOrEqual(100);
    expect(seen.size).toBeGreaterThan(4 * unseen.length);
    expect(unseen.filter((combination) => seen.has(combination))).toEqual([]);
  });

  it("hold out nothing whose parts, and whose words, training does not have", () => {
    const seen = new Set(TRAINING.flatMap(({ combination }) => partsOf(combination)));
    const words = new Set(TRAINING.flatMap(({ text, sql }) => `${text} ${sql}`.split(" ")));
    for (const { combination, text, sql } of unseenQuestions) {
      expect(partsOf(combination).filter((part) => !seen.has(part))).toEqual([]);
      expect(`${text} ${sql}`.split(" ").filter((word) => !words.has(word))).toEqual([]);
    }
  });

  it("are demonstrated by somebody who misreads about half of them, now so and now so", () => {
    const wrong = TRAINING.filter(({ demonstrated, sql }) => demonstrated !== sql);
    expect(wrong.length / TRAINING.length).toBeGreaterThan(0.5);
    expect(wrong.length / TRAINING.length).toBeLessThan(0.6);
    const right = new Set(TRAINING.filter((q) => q.demonstrated === q.sql).map((q) => q.text));
    expect(wrong.filter(({ text }) => right.has(text)).length / wrong.length).toBeGreaterThan(0.75);
    expect(unseenQuestions.every(({ demonstrated }) => demonstrated === undefined)).toBe(true);
  });

  it("are the same for the same number, and mean one thing each", () => {
    expect(trainingQuestion(7)).toEqual(TRAINING[7]);
    const meaning = new Map<string, string>();
    for (const { text, sql } of [...TRAINING, ...unseenQuestions]) {
      expect(meaning.get(text) ?? sql).toBe(sql);
      meaning.set(text, sql);
    }
    expect(meaning.size).toBeGreaterThan(1_000);
  });
});
