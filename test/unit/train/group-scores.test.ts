/** Rewards that compare the plays of a group. */
import { describe, expect, it } from "vitest";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { EpisodeTrace, GroupReward } from "../../../src/agent/environment.ts";
import { type EpisodeScores, GroupScores } from "../../../src/train/episode/scores.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";

function trace(text: string): EpisodeTrace<string> {
  const reply = {
    requestIndex: 0,
    role: "main",
    text,
    ids: [],
    logprobs: [],
    finishReason: "stop",
  };
  return {
    ...{ task: "t", replies: [reply], text, result: undefined },
    ...{ details: undefined, isTruncated: false },
  };
}

/** 1 for the longest, 0 for the others; "?" does not compare. */
const longest: GroupReward<string>["score"] = (traces) => {
  const most = Math.max(...traces.map(({ text }) => text.length));
  return traces.map(({ text }) => (text === "?" ? null : Number(text.length === most)));
};

function environmentOf(
  groupRewards: Readonly<Record<string, GroupReward<string>>>,
  own: (trace: EpisodeTrace<string>) => number | null = () => 0.5,
) {
  return defineEnvironment<string>({
    ...{ name: "compared", tasks: { train: ["t"] }, prompt: (task: string) => task },
    ...{ rewards: { own }, groupRewards },
    isSuccess: (_, outcome) => outcome > 1,
  });
}

const summary = ({ outcome, isSuccess, components }: EpisodeScores) => [
  outcome,
  isSuccess,
  components["longest"],
];

describe("GroupScores", () => {
  it("gives scores when the last play has ended, in the order of the samples, by whichever it ends", async () => {
    const seen: string[][] = [];
    const scores = new GroupScores(
      environmentOf({
        longest: {
          weight: 2,
          score: async (traces) => {
            seen.push(traces.map(({ text }) => text));
            return longest(traces);
          },
        },
      }),
      5,
    );
    expect(await scores.end(3, trace("abc"))).toEqual([]);
    expect(await scores.end(1, undefined)).toEqual([]);
    expect(await scores.end(4, trace("?"))).toEqual([]);
    expect(await scores.end(0, trace("a"))).toEqual([]);
    const known = await scores.end(2, undefined);
    expect(seen).toEqual([["a", "abc", "?"]]);
    expect(known.map(([sample, own]) => [sample, ...summary(own)])).toEqual([
      [0, 0.5, false, 0],
      [3, 2.5, true, 1],
      [4, 0.5, false, null],
    ]);
    expect(known[1]?.[1].records).toEqual([
      { requestIndex: null, kind: "outcome", name: "own", value: 0.5 },
      { kind: "outcome", name: "longest", value: 1 },
      { kind: "outcome", name: "success", value: 1 },
    ]);
    // what does not apply is no record, and no 0
    expect(known[2]?.[1].records.map(({ name }) => name)).toEqual(["own", "success"]);
  });

  it("asks nobody to compare fewer than two, and has an outcome of comparisons alone", async () => {
    let asked = 0;
    const counted: GroupReward<string> = {
      score: (traces) => {
        asked++;
        return longest(traces);
      },
    };
    const alone = new GroupScores(
      environmentOf({ longest: counted }, () => null),
      2,
    );
    await alone.end(0, undefined);
    const [[, own] = []] = await alone.end(1, trace("a"));
    expect([asked, own && summary(own)]).toEqual([0, [null, false, null]]);
    const two = new GroupScores(
      environmentOf({ longest: counted }, () => null),
      2,
    );
    await two.end(0, trace("ab"));
    expect((await two.end(1, trace("a"))).map(([, each]) => each.outcome)).toEqual([1, 0]);
  });

  it("waits for nobody where nothing compares", async () => {
    const scores = new GroupScores(environmentOf({}), 3);
    expect((await scores.end(2, trace("a"))).map(([sample]) => sample)).toEqual([2]);
    expect(await scores.end(0, undefined)).toEqual([]);
  });

  it.each<[string, GroupReward<string>["score"]]>([
    ["throws", () => Promise.reject(new Error("no"))],
    ["forgets a play", () => [1]],
    ["gives no list", () => 1 as never],
    ["gives no number", () => [1, Number.NaN]],
  ])("names a reward that %s", async (_, score) => {
    const end = async () => {
      const scores = new GroupScores(environmentOf({ bad: { score } }), 2);
      await scores.end(0, trace("a"));
      return scores.end(1, trace("b"));
    };
    expect(await rejectionOf(end())).toBe("environment_failed");
    expect((await errorOf(end())).message).toContain('group reward "bad"');
  });
});
