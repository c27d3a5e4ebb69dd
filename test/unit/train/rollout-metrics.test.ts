import { describe, expect, it } from "vitest";
import type { ToolCallRecord, ToolCallStatus } from "../../../src/agent/message.ts";
import { type RecordedTurn, recordedEpisode } from "../../../src/bench/tree-load.ts";
import type { RecordedEpisode } from "../../../src/train/episode/episodes.ts";
import { sessionDetails } from "../../../src/train/episode/session-details.ts";
import { rolloutMetrics, toolMetrics } from "../../../src/train/learner/rollout-metrics.ts";

const turn = (prompt: number[], response: number[]): RecordedTurn => ({
  ...{ prompt, response, reward: 0 },
  logprobs: response.map(() => -1),
});

function forksOf(turns: readonly RecordedTurn[], roles: readonly string[] = []): unknown {
  const episode = recordedEpisode(turns, { group: 0, sample: 0 });
  const completions = episode.completions.map((completion, k) => ({
    ...completion,
    role: roles[k] ?? "main",
  }));
  const session = { ...episode.session, completions };
  return rolloutMetrics([{ ...episode, session }])["rollout/forks"];
}

describe("rollout/forks", () => {
  const [first, second] = [turn([1, 2], [3]), turn([1, 2, 3, 4], [5])];

  it("counts no request that goes on with an earlier one and its answer, the latest or not", () => {
    expect(forksOf([first, second, turn([1, 2, 3, 4, 5], [6])])).toBe(0);
    expect(forksOf([first, second, turn([1, 2, 3, 9], [6])])).toBe(0);
  });

  it("counts rewritten contexts, also where only the answer came back otherwise", () => {
    expect(forksOf([first, turn([1, 2, 9, 4], [5])])).toBe(1);
    expect(forksOf([first, turn([7], [5]), turn([7, 5, 8], [6]), turn([1], [2])])).toBe(2);
  });

  it("counts no agent's first request, whatever others have asked", () => {
    expect(forksOf([first, turn([7], [8]), turn([7, 8], [9])], ["main", "aside", "aside"])).toBe(0);
    expect(forksOf([first, turn([7], [8]), turn([9], [9])], ["main", "aside", "aside"])).toBe(1);
  });
});

function withCalls(statuses: readonly ToolCallStatus[] | undefined): RecordedEpisode {
  const episode = recordedEpisode([turn([1], [2])], { group: 0, sample: 0 });
  const toolCalls = statuses?.map(
    (status): ToolCallRecord => ({
      ...{ requestIndex: 0, role: "main", name: "add", input: {}, status },
      ...{ content: "", isCut: false, ms: 12.5 },
    }),
  );
  const details = sessionDetails(toolCalls && { toolCalls }, { isPure: false });
  return { ...episode, session: { ...episode.session, details } };
}

describe("tools/*", () => {
  it("are of the episodes whose agents have tools, and of their calls", () => {
    const episodes = [
      withCalls(["ok", "error", "timeout", "malformed"]),
      withCalls(["ok", "invalid_input", "unknown_tool", "ok"]),
      withCalls([]),
      withCalls(undefined),
    ];
    expect(toolMetrics(episodes)).toEqual({
      "tools/calls_mean": 8 / 3,
      "tools/timeouts": 1,
      "tools/error_rate": 2 / 8,
      "tools/malformed_rate": 3 / 8,
    });
  });

  it("are absent without tools, and shares without calls", () => {
    expect(toolMetrics([withCalls(undefined)])).toEqual({});
    expect(toolMetrics([withCalls([])])).toEqual({ "tools/calls_mean": 0, "tools/timeouts": 0 });
  });
});

it("calls in a pure environment say nothing of the wall's clock: the run could not be repeated", () => {
  const [call] = (withCalls(["ok"]).session.details as { toolCalls: ToolCallRecord[] }).toolCalls;
  const toolCalls = [call as ToolCallRecord];
  expect(sessionDetails({ toolCalls }, { isPure: false })?.toolCalls[0]?.ms).toBe(12.5);
  expect(sessionDetails({ toolCalls }, { isPure: true })?.toolCalls[0]?.ms).toBe(0);
  expect(sessionDetails(undefined, { isPure: true })).toBeNull();
});
