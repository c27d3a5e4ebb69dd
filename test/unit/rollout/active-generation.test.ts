import { describe, expect, it } from "vitest";
import { ActiveGeneration } from "../../../src/rollout/active-generation.ts";
import { checkRequest, type RepetitionStop } from "../../../src/rollout/request.ts";

const LIMITS = {
  ...{ vocab: 10, length: 10_000, stopIds: [], seed: 0n },
  ...{ hasTokenizer: false, maxAlternatives: 0 },
};

/** Feeds tokens of these probabilities until the generation is over: how many that were, and why. */
function feed(probabilities: readonly number[], repetition: RepetitionStop): [number, unknown] {
  const checked = checkRequest({ prompt: [1], repetition }, LIMITS);
  const generation = new ActiveGeneration(checked, undefined);
  for (const p of probabilities) {
    if (generation.isOver) break;
    const drawn = { id: 2, logprob: Math.log(p), entropy: 0, alternatives: [], policyVersion: 0 };
    generation.push(drawn);
  }
  return [generation.ids.length, generation.isOver];
}

describe("FEATURE 27: a stream stops repeating itself at exactly that token", () => {
  // MiniMax-M1, §4.3
  const published = { count: 3000, probability: 0.99 };
  const sure = (count: number): number[] => new Array(count).fill(0.995);

  it("the 3,000th in a row above 0.99", () => {
    expect(feed([...sure(2999), 0.5], published)).toEqual([3000, false]);
    expect(feed(sure(4000), published)).toEqual([3000, true]);
    expect(feed([...sure(2999), 0.98, ...sure(4000)], published)).toEqual([6000, true]);
    expect(feed([0.2, ...sure(4000)], published)).toEqual([3001, true]);
  });

  it("another number and bound, as configured", () => {
    const repetition = { count: 3, probability: 0.5 };
    expect(feed([0.6, 0.6, 0.4, 0.6, 0.6, 0.6, 0.6], repetition)).toEqual([6, true]);
    expect(feed([0.6, 0.6, 0.49, 0.6, 0.6], repetition)).toEqual([5, false]);
  });
});
