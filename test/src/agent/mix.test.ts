import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { EpisodeContext, EpisodeTrace } from "../../../src/agent/environment.ts";
import { type MixedTask, mixEnvironments } from "../../../src/agent/mix.ts";
import type { Policy, PolicyRequest } from "../../../src/agent/policy.ts";
import { codeOf } from "../../support/errors.ts";

const sums = defineEnvironment<number>({
  name: "sums",
  tasks: { train: [10, 11, 12], eval: [90] },
  taskId: (task) => `sum-${task}`,
  prompt: (task) => `${task}=`,
  maxTokens: 8,
  stopStrings: ["\n"],
  rewards: { right: { weight: 2, score: ({ task, text }) => Number(text === String(task)) } },
  groupRewards: {
    short: { weight: 0.5, score: (traces) => traces.map(({ text }) => 1 / (1 + text.length)) },
  },
  demonstration: (task) => ({ prompt: `${task}=`, response: String(task) }),
});
const words = defineEnvironment<string>({
  name: "words",
  tasks: { train: (index) => `w${index}`, eval: ["e0", "e1"] },
  play: async ({ task, policy }) => {
    await policy.generate({ prompt: task, maxTokens: 20, stopStrings: ["."] });
    await policy.generate({ append: task });
  },
  rewards: { tidy: { kind: "process", score: ({ replies }) => replies.map(() => 1) } },
  isSuccess: ({ task }) => task === "w0",
  isPure: true,
  episodeTimeoutMs: 50,
});
const mix = mixEnvironments({
  name: "both",
  domains: { sums: { environment: sums, share: 1 }, words: { environment: words, share: 3 } },
});

function trace(task: MixedTask, text = ""): EpisodeTrace<MixedTask> {
  const reply = {
    requestIndex: 0,
    role: "main",
    text,
    ids: [],
    logprobs: [],
    finishReason: "stop",
  };
  return {
    ...{ task, replies: [reply], text, result: undefined },
    ...{ details: undefined, isTruncated: false },
  };
}

/** What an environment asks of the policy in an episode. */
async function asked(environment: typeof mix, task: MixedTask): Promise<PolicyRequest[]> {
  const requests: PolicyRequest[] = [];
  const policy: Policy = {
    language: {} as Policy["language"],
    generate: async (request) => {
      requests.push(request);
      const requestIndex = requests.length - 1;
      return { ...trace(task).replies[0], requestIndex } as never;
    },
  };
  const signal = new AbortController().signal;
  const episode: EpisodeContext<MixedTask> = { task, policy, seed: 1, signal, attach: () => {} };
  await environment.play(episode);
  return requests;
}

describe("FEATURE 31: mixed domains at set ratios, with a schedule of each domain's own", () => {
  it("has each domain exactly its share of every block, spread evenly, its tasks in their order", () => {
    const share = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(fc.array(share, { minLength: 1, maxLength: 4 }), (shares) => {
        const domains = Object.fromEntries(
          shares.map((own, d) => [`d${d}`, { environment: words, share: own }]),
        );
        const mixed = mixEnvironments({ name: "any", domains });
        const block = shares.reduce((a, b) => a + b, 0);
        const tasks = Array.from({ length: 3 * block }, (_, i) => mixed.train(i));
        shares.forEach((own, d) => {
          const mine = tasks.flatMap(({ domain }, i) => (domain === `d${d}` ? [i] : []));
          for (const at of [0, 1, 2])
            expect(mine.filter((i) => Math.floor(i / block) === at)).toHaveLength(own);
          // neighbours are an equal part apart, in which each other domain may have one more than its share
          for (const [k, i] of mine.entries())
            expect(i - (mine[k - 1] ?? i)).toBeLessThanOrEqual(block / own + shares.length - 1);
          expect(mine.map((i) => tasks[i]?.task)).toEqual(mine.map((_, k) => `w${k}`));
        });
      }),
    );
  });

  it("gives a domain the tasks and the limit of its stage, and says which in their names", async () => {
    const staged = mixEnvironments({
      name: "staged",
      domains: {
        sums: {
          ...{ environment: sums, share: 1 },
          stages: [
            { from: 2, maxTokens: 4 },
            { from: 4, maxTokens: 30, tasks: [70, 71] },
            { from: 7, tasks: (index) => 100 + index },
          ],
        },
        words: { environment: words, share: 1, stages: [{ from: 0, maxTokens: 15 }] },
      },
    });
    const tasks = Array.from({ length: 18 }, (_, i) => staged.train(i));
    const mine = tasks.filter(({ domain }) => domain === "sums");
    expect(mine.map(({ task }) => task)).toEqual([10, 11, 12, 10, 70, 71, 70, 107, 108]);
    expect(mine.map((task) => staged.taskId(task, 0)).slice(3)).toEqual([
      "sums/sum-10",
      ...["70", "71", "70"].map((own) => `sums/from-4/sum-${own}`),
      ...["107", "108"].map((own) => `sums/from-7/sum-${own}`),
    ]);
    const limits: unknown[] = [];
    for (const task of mine) limits.push((await asked(staged, task))[0]?.maxTokens);
    // the environment's own limit, a stage's below it, and one above it
    expect(limits).toEqual([8, 8, 4, 4, 8, 8, 8, 8, 8]);
    const [first, second] = await asked(staged, tasks[1] as MixedTask);
    expect([first?.maxTokens, second?.maxTokens]).toEqual([15, 15]);
  });

  it("plays and judges a task as its own environment does, and no other says anything of it", async () => {
    const [ours, theirs] = [
      { domain: "sums", task: 10, name: "sum-10" },
      { domain: "words", task: "w0", name: "0" },
    ];
    expect(await asked(mix, ours)).toEqual([{ prompt: "10=", maxTokens: 8, stopStrings: ["\n"] }]);
    expect(await asked(mix, theirs)).toEqual([
      { prompt: "w0", maxTokens: 20, stopStrings: ["."] },
      { append: "w0", stopStrings: [] },
    ]);
    const names = ["sums/right", "words/tidy"];
    expect(Object.keys(mix.rewards)).toEqual(names);
    const scores = (task: MixedTask, text: string) =>
      names.map((name) => mix.rewards[name]?.score(trace(task, text)));
    expect([scores(ours, "10"), scores(theirs, "10")]).toEqual([
      [1, null],
      [null, [1]],
    ]);
    expect(mix.rewards["sums/right"]).toMatchObject({ weight: 2, kind: "outcome" });
    expect(mix.rewards["words/tidy"]).toMatchObject({ weight: 1, kind: "process" });
    const short = mix.groupRewards["sums/short"];
    expect(short?.weight).toBe(0.5);
    expect(short?.score([trace(ours, "a"), trace(ours)])).toEqual([0.5, 1]);
    expect(short?.score([trace(theirs, "a"), trace(theirs)])).toEqual([null, null]);
    const successes = [ours, theirs, { ...theirs, task: "w1" }];
    expect(successes.map((task) => mix.isSuccess(trace(task), 1))).toEqual([true, true, false]);
  });

  it("holds out the tasks of all, and promises what all promise", () => {
    expect(mix.eval.map((task) => mix.taskId(task, 0))).toEqual([
      "sums/sum-90",
      "words/0",
      "words/1",
    ]);
    expect([mix.isPure, mix.demonstration, mix.episodeTimeoutMs]).toEqual([
      true,
      undefined,
      undefined,
    ]);
    const own = mixEnvironments({
      name: "one",
      domains: { a: { environment: sums, share: 1 }, b: { environment: sums, share: 1 } },
    });
    expect(own.demonstration?.(own.train(1))).toEqual({ prompt: "10=", response: "10" });
    expect(own.domains).toEqual(["a", "b"]);
  });
});

it.each<[string, Parameters<typeof mixEnvironments>[0]["domains"]]>([
  ["no domain", {}],
  ["a slash in a name", { "a/b": { environment: sums, share: 1 } }],
  ["a share of 0", { a: { environment: sums, share: 0 } }],
  ["half a share", { a: { environment: sums, share: 0.5 } }],
  [
    "stages out of order",
    { a: { environment: sums, share: 1, stages: [{ from: 3 }, { from: 3 }] } },
  ],
  [
    "a stage without tasks",
    { a: { environment: sums, share: 1, stages: [{ from: 0, tasks: [] }] } },
  ],
  ["a limit of 0", { a: { environment: sums, share: 1, stages: [{ from: 0, maxTokens: 0 }] } }],
  [
    "a reward with the name of a measure",
    {
      a: {
        environment: defineEnvironment<number>({
          ...{ name: "x", tasks: { train: [1] }, prompt: () => "" },
          rewards: { success_rate: () => 1 },
        }),
        share: 1,
      },
    },
  ],
])("refuses %s", (_, domains) => {
  expect(codeOf(() => mixEnvironments({ name: "bad", domains }))).toBe("argument_invalid");
});
