/** Credit where requests are not one line: it goes along chains, and what the episode earned goes to all. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { forgeAdvantage } from "../../../src/rl/advantage/forge.ts";
import { gaeAdvantage } from "../../../src/rl/advantage/gae.ts";
import { reinforcePlusPlusAdvantage } from "../../../src/rl/advantage/reinforce-plus-plus.ts";
import { advantagesOf } from "../../../src/rl/algorithm/advantages.ts";
import { ALGORITHMS, type AlgorithmName, algorithm } from "../../../src/rl/algorithm/index.ts";
import { type Chains, stepChains, tokenChains } from "../../../src/rl/chains.ts";
import type { Episode } from "../../../src/rl/episode.ts";
import { episodeReturn, rewardToGo } from "../../../src/rl/reward/reward-to-go.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";
import { episode, rowsOf, step } from "../../support/rl-episodes.ts";

const CLOSE = { abs: 1e-9, rel: 1e-9 };
const number = fc.double({ min: -3, max: 3, noNaN: true });

/** Two steps behind the first, one of them with a third behind it; and one beside them all. */
const FOREST: Chains = { parents: [null, 0, 0, 1, null], shared: 10 };
const OWN = [1, 2, 4, 8, 16];

/** Any order in which each node comes after the one that it follows. */
const chains: fc.Arbitrary<Chains> = fc
  .tuple(fc.array(fc.nat(), { minLength: 1, maxLength: 7 }), number)
  .map(([draws, shared]) => ({
    parents: draws.map((draw, t) => (draw % (t + 1) === t ? null : draw % (t + 1))),
    shared,
  }));

describe("reward-to-go along chains", () => {
  it("is what a step and those that follow from it earned, and what all earned, once", () => {
    expect([...rewardToGo(OWN, 1, FOREST)]).toEqual(
      [1 + 2 + 4 + 8, 2 + 8, 4, 8, 16].map((x) => x + 10),
    );
    expect(episodeReturn(OWN, 1, FOREST)).toBe(31 + 10);
  });

  it("discounts by the steps between, and what all earned until the longest chain has ended", () => {
    const own = [1 + 0.5 * 2 + 0.5 * 4 + 0.25 * 8, 2 + 0.5 * 8, 4, 8, 16];
    const shared = [2.5, 5, 5, 10, 2.5];
    const toGo = own.map((x, t) => x + (shared[t] as number));
    expect([...rewardToGo(OWN, 0.5, FOREST)]).toEqual(toGo);
    expect(episodeReturn(OWN, 0.5, FOREST)).toBe(1 + 1 + 2 + 2 + 16 + 2.5);
  });

  it("of one line is what it is without chains", () => {
    fc.assert(
      fc.property(
        fc.array(number, { minLength: 1, maxLength: 6 }),
        number,
        fc.constantFrom(1, 0.7),
        (own, shared, gamma) => {
          const line = { parents: own.map((_, t) => (t === 0 ? null : t - 1)), shared };
          const whole = own.map((reward, t) => reward + (t === own.length - 1 ? shared : 0));
          expectClose(rewardToGo(own, gamma, line), rewardToGo(whole, gamma), CLOSE);
          const [there, expected] = [episodeReturn(own, gamma, line), episodeReturn(whole, gamma)];
          expectClose([there], [expected], CLOSE);
        },
      ),
    );
  });

  it("refuses steps that follow later ones, and chains of other steps", () => {
    for (const parents of [[0], [null, 1], [null, -1], [null, 0.5]])
      expect(
        codeOf(() => rewardToGo([1, 2].slice(0, parents.length), 1, { parents, shared: 0 })),
      ).toBe("argument_invalid");
    expect(codeOf(() => rewardToGo([1], 1, FOREST))).toBe("shape_mismatch");
    expect(codeOf(() => rewardToGo(OWN, 1, { ...FOREST, shared: Number.NaN }))).toBe("non_finite");
    const late = episode("a", [step(1, 0, { parent: 1 }), step(1, 0)]);
    expect(codeOf(() => advantagesOf(algorithm("grpo"), [late]))).toBe("argument_invalid");
  });
});

describe("chains of an episode", () => {
  it("are none where each step follows the one before, said or not", () => {
    const lines = [
      [step(1, 0), step(1, 0)],
      [step(1, 0, { parent: null }), step(1, 0, { parent: 0 })],
    ];
    for (const steps of lines) expect(stepChains(episode("a", steps))).toBeUndefined();
    const apart = episode("a", [step(1, 0), step(1, 3, { parent: null, shared: 2 })]);
    expect(stepChains(apart)).toEqual({ parents: [null, null], shared: 2 });
  });

  it("hang the first token of a step behind the last one of the step that it follows", () => {
    const branching = episode("a", [
      step(2, 0),
      step(1, 0, { parent: 0 }),
      step(3, 5, { parent: 0, shared: 4 }),
    ]);
    expect(tokenChains(branching)).toEqual({ parents: [null, 0, 1, 1, 3, 4], shared: 4 });
    const empty = episode("a", [step(1, 0), step(0, 0, { parent: null })]);
    expect(codeOf(() => tokenChains(empty))).toBe("argument_invalid");
  });
});

describe("advantages of tokens along chains", () => {
  it("gae with λ = 1 is the reward-to-go less the value", () => {
    fc.assert(
      fc.property(chains, fc.array(number, { minLength: 14, maxLength: 14 }), (own, drawn) => {
        const count = own.parents.length;
        const [rewards, values] = [drawn.slice(0, count), drawn.slice(7, 7 + count)];
        const gamma = 0.9;
        const { advantages, returns } = gaeAdvantage(
          {
            ...{ rewards: [rewards], values: [values], chains: [own] },
            mask: [rewards.map(() => 1)],
          },
          { gamma, lambda: 1, whiten: false },
        );
        const toGo = rewardToGo(rewards, gamma, own);
        expectClose(
          advantages[0] ?? [],
          toGo.map((g, t) => g - (values[t] as number)),
          CLOSE,
        );
        expectClose(returns[0] ?? [], toGo, CLOSE);
      }),
    );
  });

  it("gae of one line is what it is without chains", () => {
    const [own, shared] = [[0.5, -1, 0, 2], 3];
    const rows = { values: [[1, 2, -1, 0.5]], mask: [[1, 1, 1, 1]] };
    const options = { gamma: 0.9, lambda: 0.6, whiten: false };
    const line = { parents: [null, 0, 1, 2], shared };
    const as = gaeAdvantage({ ...rows, rewards: [own], chains: [line] }, options);
    const plain = gaeAdvantage({ ...rows, rewards: [[0.5, -1, 0, 5]] }, options);
    expectClose(as.advantages[0] ?? [], plain.advantages[0] ?? [], CLOSE);
  });

  it("reinforce++ whitens the returns along chains, and no chain has a tool's token", () => {
    const [row] = reinforcePlusPlusAdvantage([OWN], [[1, 1, 1, 1, 1]], 1, [FOREST]);
    const [returns] = reinforcePlusPlusAdvantage([OWN.map(() => 0)], [OWN.map(() => 1)], 1, [
      { parents: OWN.map(() => null), shared: 0 },
    ]);
    expect([...(returns ?? [])]).toEqual([0, 0, 0, 0, 0]);
    const toGo = rewardToGo(OWN, 1, FOREST);
    const order = [...toGo.keys()].sort((a, b) => Number(toGo[a]) - Number(toGo[b]));
    const sorted = order.map((t) => Number(row?.[t]));
    expect(sorted).toEqual([...sorted].sort((a, b) => a - b));
    const withTool = () =>
      reinforcePlusPlusAdvantage([[1, 0]], [[1, 0]], 1, [{ parents: [null, 0], shared: 0 }]);
    expect(codeOf(withTool)).toBe("argument_invalid");
  });

  it("forge keeps baselines: the mean of all that episodes earned", () => {
    const result = forgeAdvantage([OWN, [1]], ["a", "a"], { chains: [FOREST, undefined] });
    const centre = (41 + 1) / 2;
    expect(result.map((row) => [...(row ?? [])])).toEqual([
      [25, 20, 14, 18, 26].map((g) => g - centre),
      [1 - centre],
    ]);
  });
});

describe("every algorithm", () => {
  const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];
  const values = (tokens: number) => ({ values: new Float64Array(tokens).fill(0.25) });
  const line = (said: boolean): Episode[] =>
    [0, 1].map((i) =>
      episode("a", [
        step(2, -0.1, { ...(said && { parent: null }), ...values(2) }),
        step(1, i + 0.3, { ...(said && { parent: 0, shared: i }), ...values(1) }),
      ]),
    );

  it.each(NAMES)("%s gives one line the same bits, whether it is said to be one or not", (name) => {
    const of = (said: boolean) => advantagesOf(algorithm(name), line(said));
    expect(of(true)).toEqual(of(false));
  });

  it.each(NAMES)("%s multiplies the advantages of a step by its weight", (name) => {
    const weighted = line(true).map(({ steps, ...rest }) => ({
      ...rest,
      steps: steps.map((own, t) => ({ ...own, weight: t === 0 ? 0.5 : 0 })),
    }));
    const plain = rowsOf(advantagesOf(algorithm(name), line(true)).advantages);
    const rows = rowsOf(advantagesOf(algorithm(name), weighted).advantages);
    rows.forEach((row, i) => {
      const [first = 0, second = 0] = plain[i] ?? [];
      expectClose(row, [first / 2, second / 2, 0], { abs: 0, rel: 0 });
    });
  });
});
