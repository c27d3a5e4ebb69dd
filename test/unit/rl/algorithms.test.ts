/** What each algorithm makes of episodes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { maxrlAdvantage } from "../../../src/rl/advantage/maxrl.ts";
import { perEpisode } from "../../../src/rl/algorithm/adapters.ts";
import { advantagesOf } from "../../../src/rl/algorithm/advantages.ts";
import type { Algorithm } from "../../../src/rl/algorithm/algorithm.ts";
import { defineAlgorithm } from "../../../src/rl/algorithm/definition.ts";
import { forge } from "../../../src/rl/algorithm/forge.ts";
import { ALGORITHMS, type AlgorithmName, algorithm } from "../../../src/rl/algorithm/index.ts";
import type { Episode } from "../../../src/rl/episode.ts";
import { codeOf } from "../../support/errors.ts";
import { GOLDEN_RL, GOLDEN_RL_ABSENT } from "../../support/golden-rl.ts";
import { expectClose } from "../../support/gpu.ts";
import { episode, goldenEpisodes, rowsOf, sampled, step } from "../../support/rl-episodes.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };
const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];

function rows(made: Algorithm, episodes: readonly Episode[]): number[][] {
  return rowsOf(advantagesOf(made, episodes).advantages);
}

/** Episodes of one to three steps of up to three tokens, in two groups, some of which take no part. */
const episodes = fc.array(
  fc
    .record({
      group: fc.constantFrom("a", "b"),
      takesPart: fc.boolean(),
      steps: fc.array(
        fc.record({ tokens: fc.nat(3), reward: fc.double({ min: -2, max: 2, noNaN: true }) }),
        { minLength: 1, maxLength: 3 },
      ),
    })
    .map(({ group, takesPart, steps }) =>
      episode(
        group,
        steps.map(({ tokens, reward }) =>
          step(tokens, reward, { values: new Float64Array(tokens).fill(0.25) }),
        ),
        takesPart,
      ),
    ),
  { maxLength: 8 },
);

describe.skipIf(!GOLDEN_RL)(`golden advantages through the algorithms${GOLDEN_RL_ABSENT}`, () => {
  const inputs = GOLDEN_RL?.inputs;
  const expected = GOLDEN_RL?.expected ?? {};
  const golden = inputs ? goldenEpisodes(inputs) : [];

  it.each<[string, Algorithm]>([
    ["adv.grpo.verl(eps1e-6,std ddof=1)", algorithm("grpo")],
    ["adv.grpo.trl(eps1e-4,std ddof=1)", algorithm("grpo", { epsilon: 1e-4 })],
    ["adv.grpo.trl.scale=batch", algorithm("grpo", { epsilon: 1e-4, scale: "batch" })],
    ["adv.grpo.verl(eps1e-6,std ddof=1)", algorithm("dapo")],
    ["adv.grpo.verl(eps1e-6,std ddof=1)", algorithm("gspo")],
    ["adv.grpo.verl(eps1e-6,std ddof=1)", algorithm("cispo")],
    ["adv.grpo.verl(eps1e-6,std ddof=1)", algorithm("sapo")],
    ["adv.grpo.verl(eps1e-6,std ddof=1)", algorithm("forge", { scale: "group" })],
    ["adv.dr_grpo(no std)", algorithm("dr_grpo")],
    ["adv.dr_grpo(no std)", algorithm("forge")],
    ["adv.rloo", algorithm("rloo")],
    ["adv.rloo", algorithm("forge", { baseline: "leave-one-out" })],
    [
      "adv.maxrl(eps1e-6)",
      algorithm("grpo", { name: "maxrl", advantage: perEpisode((r, g) => maxrlAdvantage(r, g)) }),
    ],
    ["adv.reinforce++(g=0.99)", algorithm("reinforce++", { gamma: 0.99 })],
    ["adv.reinforce++baseline", algorithm("reinforce++-baseline")],
    ["gae.raw(g=1.0,l=1.0)", algorithm("ppo", { lambda: 1, whiten: false })],
    ["gae.whitened(g=1.0,l=1.0)", algorithm("ppo", { lambda: 1 })],
    ["gae.raw(g=0.99,l=0.95)", algorithm("ppo", { gamma: 0.99, whiten: false })],
    ["gae.whitened(g=0.99,l=0.95)", algorithm("ppo", { gamma: 0.99 })],
  ])("%s, $name", (name, made) => {
    const own = rows(made, golden);
    for (const [i, row] of own.entries()) {
      const value = (expected[name] as ArrayLike<number | ArrayLike<number>>)[i] ?? [];
      const tokens =
        typeof value === "number" ? row.map(() => value) : sampled(value, inputs?.mask[i] ?? []);
      expectClose(row, tokens, CLOSE, `${made.name}, ${i}`);
    }
  });

  it.each<[string, Algorithm]>([
    ["gae.returns(g=1.0,l=1.0)", algorithm("ppo", { lambda: 1 })],
    ["gae.returns(g=0.99,l=0.95)", algorithm("ppo", { gamma: 0.99 })],
  ])("%s", (name, made) => {
    const own = rowsOf(advantagesOf(made, golden).returns ?? []);
    const rowsOfGolden = expected[name] as ArrayLike<number>[];
    const tokens = rowsOfGolden.map((row, i) => sampled(row, inputs?.mask[i] ?? []));
    expectClose(own.flat(), tokens.flat(), CLOSE);
  });
});

describe("every algorithm", () => {
  it.each(NAMES)("%s gives a number per token, and zeros to who takes no part", (name) => {
    fc.assert(
      fc.property(episodes, (list) => {
        const { advantages } = advantagesOf(algorithm(name), list);
        for (const [i, { steps, takesPart }] of list.entries()) {
          const lengths = Array.from(advantages[i] ?? [], (row) => row.length);
          expect(lengths).toEqual(steps.map(({ tokens }) => tokens));
          const numbers = (advantages[i] ?? []).flatMap((row) => Array.from(row));
          expect(numbers.every(Number.isFinite)).toBe(true);
          if (!takesPart) expect(numbers.every((a) => a === 0)).toBe(true);
        }
      }),
    );
  });

  it.each(NAMES)("%s gives others the same, whatever was earned by who takes no part", (name) => {
    fc.assert(
      fc.property(episodes, fc.double({ min: -9, max: 9, noNaN: true }), (list, reward) => {
        const others = list.map((one) =>
          one.takesPart ? one : { ...one, steps: one.steps.map((s) => ({ ...s, reward })) },
        );
        expect(rows(algorithm(name), others)).toEqual(rows(algorithm(name), list));
      }),
    );
  });

  it.each(NAMES.filter((name) => name !== "ppo" && name !== "reinforce++"))(
    "%s gives zeros where all rewards of a group are equal",
    (name) => {
      const equal = ["a", "a", "b", "b"].map((group) => {
        const reward = group === "a" ? 0.5 : 3;
        return episode(group, [step(2, 0), step(1, reward)]);
      });
      for (const row of rows(algorithm(name), equal)) expect(row.map(Math.abs)).toEqual([0, 0, 0]);
    },
  );
});

describe("credit", () => {
  const two = [
    episode("a", [step(2, 0.5), step(1, 0.5)]),
    episode("a", [step(1, 0)]),
    episode("a", [step(1, 9)], false),
  ];

  it("of whole episodes is the sum of their steps', on every token", () => {
    expectClose(rows(algorithm("dr_grpo"), two).flat(), [0.5, 0.5, 0.5, -0.5, 0], CLOSE);
    expectClose(rows(algorithm("rloo"), two).flat(), [1, 1, 1, -1, 0], CLOSE);
  });

  it("of forge is what a step and those after it earn, against the group's mean", () => {
    expectClose(rows(forge(), two).flat(), [0.5, 0.5, 0, -0.5, 0], CLOSE);
    const discounted = forge({ gamma: 0.5, baseline: "none" });
    expectClose(rows(discounted, two).flat(), [0.75, 0.75, 0.5, 0, 0], CLOSE);
  });

  it("of PPO stands on the last token of each step", () => {
    const values = [0.25, 0.5];
    const one = [episode("a", [step(2, 1, { values }), step(1, 3, { values: [2] })])];
    // δ = V' − 0.25, 1 + V' − 0.5, 3 − 2
    const made = algorithm("ppo", { gamma: 0.5, lambda: 0.5, whiten: false });
    const [d0, d1, d2] = [0.5 * 0.5 - 0.25, 1 + 0.5 * 2 - 0.5, 1];
    const { advantages, returns } = advantagesOf(made, one);
    const expected = [d0 + 0.25 * (d1 + 0.25 * d2), d1 + 0.25 * d2, d2];
    expectClose(rowsOf(advantages).flat(), expected, CLOSE);
    const targets = expected.map((a, t) => a + Number([0.25, 0.5, 2][t]));
    expectClose(rowsOf(returns ?? []).flat(), targets, CLOSE);
  });

  it("of a step that sampled nothing goes to the token before it", () => {
    const raw = algorithm("ppo", { lambda: 1, whiten: false });
    const values = [0];
    const silent = [episode("a", [step(1, 0, { values }), step(0, 2, { values: [] })])];
    expectClose(rows(raw, silent).flat(), [2], CLOSE);
  });

  it("needs a critic's values where the algorithm has one", () => {
    expect(codeOf(() => rows(algorithm("ppo"), two))).toBe("argument_invalid");
  });

  it("refuses rows that are not as long as the step, and rewards that are no numbers", () => {
    const long = [episode("a", [step(2, 0, { rolloutLogprobs: [-1] })])];
    expect(codeOf(() => rows(forge(), long))).toBe("shape_mismatch");
    expect(codeOf(() => rows(forge(), [episode("a", [step(1, Number.NaN)])]))).toBe("non_finite");
    const nan = { values: [Number.NaN] };
    expect(codeOf(() => rows(forge(), [episode("a", [step(1, 0, nan)])]))).toBe("non_finite");
  });
});

describe("the price of leaving the reference, in the reward", () => {
  const kl = { in: "reward", kind: "k1", coefficient: 0.5 } as const;
  const referenced = (reward: number, apart: number): Episode =>
    episode("a", [step(2, reward, { referenceLogprobs: [-1 - apart, -1] })]);

  it("is taken from the rewards of an episode before its group is compared", () => {
    const made = algorithm("dr_grpo", { kl });
    expectClose(
      rows(made, [referenced(1, 0.4), referenced(0, 0)]).flat(),
      [0.4, 0.4, -0.4, -0.4],
      CLOSE,
    );
  });

  it("stands on each token where advantages are those of tokens", () => {
    const made = algorithm("ppo", { kl, lambda: 1, whiten: false });
    const values = [0, 0];
    const one = episode("a", [step(2, 1, { values, referenceLogprobs: [-1, -1.4] })]);
    expectClose(rows(made, [one]).flat(), [0.8, 0.8], CLOSE);
  });

  it("is that of the trainer's policy before the update, where it is known", () => {
    const made = algorithm("forge", { kl, baseline: "none" });
    const one = step(1, 0, { oldLogprobs: [-2], referenceLogprobs: [-3] });
    expectClose(rows(made, [episode("a", [one])]).flat(), [-0.5], CLOSE);
  });

  it("holds for advantages of one's own, and costs nothing in the loss", () => {
    const advantage = perEpisode((rewards) => rewards.map(Number));
    const made = algorithm("grpo", { advantage, kl });
    expectClose(rows(made, [referenced(1, 0.4)]).flat(), [0.8, 0.8], CLOSE);
    const inLoss = algorithm("grpo", { advantage, kl: { ...kl, in: "loss" } });
    expectClose(rows(inLoss, [referenced(1, 0.4)]).flat(), [1, 1], CLOSE);
  });

  it("needs the reference", () => {
    const made = algorithm("grpo", { kl });
    expect(codeOf(() => rows(made, [episode("a", [step(1, 1)])]))).toBe("argument_invalid");
  });
});

describe("forge against earlier returns", () => {
  const played = (task: string, reward: number): Episode => ({
    ...episode(`group ${reward}`, [step(1, reward)]),
    task,
  });

  it("asks before it counts, by task, and goes on from what it remembers", () => {
    const made = forge({ baseline: "running", decay: 0.5 });
    expectClose(rows(made, [played("x", 1), played("x", 3)]).flat(), [1, 3], CLOSE);
    // (0.5·1 + 3) / 1.5
    expectClose(rows(made, [played("x", 0), played("y", 1)]).flat(), [-7 / 3, 1], CLOSE);
    const resumed = forge({ baseline: "running", decay: 0.5 });
    resumed.memory?.write(JSON.parse(JSON.stringify(made.memory?.read())));
    const next = [played("x", 2), played("y", 5)];
    expect(rows(resumed, next)).toEqual(rows(made, next));
  });

  it("has nothing to remember with other baselines, and counts nobody who took no part", () => {
    expect(forge().memory).toBeUndefined();
    const made = forge({ baseline: "running" });
    rows(made, [{ ...played("x", 5), takesPart: false }]);
    expect(made.memory?.read()).toEqual([]);
  });
});

describe("an advantage of one's own", () => {
  it.each([
    ["too few episodes", [], "shape_mismatch"],
    ["too few tokens", [[[1]]], "shape_mismatch"],
    ["no numbers", [[[1, Number.NaN]]], "non_finite"],
  ] as const)("is refused with %s", (_, advantages, code) => {
    const made = defineAlgorithm({ ...algorithm("grpo"), advantage: () => ({ advantages }) });
    expect(codeOf(() => rows(made, [episode("a", [step(2, 1)])]))).toBe(code);
  });

  it("gives nothing to who takes no part, even where it says so", () => {
    const made = defineAlgorithm({
      ...algorithm("grpo"),
      advantage: (list) => ({ advantages: list.map(() => [[7]]) }),
    });
    const list = [episode("a", [step(1, 1)]), episode("a", [step(1, 1)], false)];
    expect(rows(made, list)).toEqual([[7], [0]]);
  });
});
