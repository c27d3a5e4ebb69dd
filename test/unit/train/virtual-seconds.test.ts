import { describe, expect, test } from "vitest";
import type { Completion, SessionRecord } from "../../../src/pool/record.ts";
import { virtualSeconds } from "../../../src/train/episode/virtual-seconds.ts";

/** A session of requests, each with when it was handed in, when its answer was there, and how many tokens that has. */
function session(
  requests: readonly (readonly [submittedAt: number, finishedAt: number, tokens: number])[],
  endedAt: number,
): SessionRecord {
  const completions = requests.map(
    ([submittedAt, finishedAt, tokens], requestIndex) =>
      ({
        ...{ requestIndex, submittedAt, finishedAt },
        responseIds: new Uint32Array(tokens),
      }) as unknown as Completion,
  );
  return {
    ...{ sessionId: "0-0", groupId: 0, taskId: "0", status: "completed", takesPart: true },
    ...{ completions, rewards: [], startedAt: 1000, endedAt, details: null },
  };
}

describe("virtualSeconds", () => {
  test("adds tokens and tools of a chain, and nothing of the time in the sampler", () => {
    // 10 tokens, a tool of 500 ms, 20 tokens, 200 ms to the end
    const one = session(
      [
        [1000, 1400, 10],
        [1900, 9900, 20],
      ],
      10_100,
    );
    expect(virtualSeconds(one, 0.01)).toBeCloseTo(0.1 + 0.5 + 0.2 + 0.2, 9);
  });

  test("counts requests side by side once: the longer one", () => {
    const both = session(
      [
        [1000, 3000, 10],
        [1000, 2000, 30],
      ],
      3000,
    );
    // what ends the episode waited for the latest answer, and the longest chain is the other request
    expect(virtualSeconds(both, 0.01)).toBeCloseTo(0.3, 9);
    const serial = session(
      [
        [1000, 3000, 10],
        [3000, 4000, 30],
      ],
      4000,
    );
    expect(virtualSeconds(serial, 0.01)).toBeCloseTo(0.4, 9);
  });

  test("is the time of the tools alone where nothing was sampled", () => {
    expect(virtualSeconds(session([], 1250), 0.01)).toBeCloseTo(0.25, 9);
  });

  test("knows neither queueing nor the speed of the machine", () => {
    const quick = session([[1000, 1001, 50]], 1001);
    const slow = session([[1000, 61_000, 50]], 61_000);
    expect(virtualSeconds(quick, 0.02)).toBe(virtualSeconds(slow, 0.02));
  });
});
