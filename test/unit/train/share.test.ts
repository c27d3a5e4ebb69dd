import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shareOf } from "../../../src/train/cluster/ring-exchange.ts";
import {
  exchangeFacts,
  type GradientExchange,
  isAddable,
  type SharedFacts,
} from "../../../src/train/learner/gradient-exchange.ts";
import { errorOf } from "../../support/errors.ts";

/** Samples of episodes that lie one behind the other. */
const step = fc
  .array(fc.array(fc.nat(300), { minLength: 1, maxLength: 6 }), { maxLength: 40 })
  .map((episodes) => ({
    tokens: episodes.flat(),
    episodes: episodes.flatMap((own, e) => own.map(() => 3 * e)),
    sizes: episodes.map((own) => own.reduce((sum, count) => sum + count, 0)),
  }));

function sharesOf(
  {
    tokens,
    episodes,
  }: { readonly tokens: readonly number[]; readonly episodes: readonly number[] },
  world: number,
): { readonly from: number; readonly to: number }[] {
  return Array.from({ length: world }, (_, rank) => shareOf(tokens, episodes, { rank, world }));
}

describe("the shares of nodes", () => {
  it("are all samples, each once and in order, and whole episodes", () => {
    fc.assert(
      fc.property(step, fc.integer({ min: 1, max: 9 }), (given, world) => {
        let at = 0;
        for (const { from, to } of sharesOf(given, world)) {
          expect(from).toBe(at);
          expect(to).toBeGreaterThanOrEqual(from);
          const isCut = to > 0 && to < given.episodes.length;
          if (isCut) expect(given.episodes[to - 1]).not.toBe(given.episodes[to]);
          at = to;
        }
        expect(at).toBe(given.tokens.length);
      }),
    );
  });

  it("have as many tokens, to within an episode", () => {
    fc.assert(
      fc.property(step, fc.integer({ min: 1, max: 9 }), (given, world) => {
        const largest = Math.max(0, ...given.sizes);
        const total = given.sizes.reduce((sum, size) => sum + size, 0);
        for (const { from, to } of sharesOf(given, world)) {
          const own = given.tokens.slice(from, to).reduce((sum, count) => sum + count, 0);
          expect(Math.abs(own - total / world)).toBeLessThanOrEqual(largest);
        }
      }),
    );
  });

  it("of equal episodes are equal", () => {
    const given = { tokens: new Array(12).fill(7), episodes: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5] };
    expect(sharesOf(given, 3)).toEqual([
      { from: 0, to: 4 },
      { from: 4, to: 8 },
      { from: 8, to: 12 },
    ]);
  });

  it("may be empty, and of nothing are", () => {
    const one = sharesOf({ tokens: [5, 5], episodes: [0, 0] }, 3);
    expect(one.map(({ from, to }) => to - from).sort()).toEqual([0, 0, 2]);
    for (const { from, to } of sharesOf({ tokens: [], episodes: [] }, 3)) expect(to).toBe(from);
    const mute = sharesOf({ tokens: [0, 0], episodes: [0, 1] }, 2);
    expect(mute).toEqual([
      { from: 0, to: 2 },
      { from: 2, to: 2 },
    ]);
  });
});

/** Exchanges of nodes that are in one memory: a sum is there when all have given theirs. */
function exchanges(world: number): GradientExchange[] {
  let given: Float32Array[] = [];
  let settle = (_: Float32Array): void => {};
  let sum = new Promise<Float32Array>((resolve) => {
    settle = resolve;
  });
  return Array.from({ length: world }, () => ({
    pieceSize: 1,
    isClipping: true,
    shareOf: () => expect.fail("nobody asks"),
    begin: () => expect.fail("nobody asks"),
    sum: async (values: Float32Array) => {
      // what a ring refuses
      expect(values.every((value) => Number.isFinite(value))).toBe(true);
      given.push(values);
      const mine = sum;
      if (given.length === world) {
        expect(new Set(given.map(({ length }) => length)).size).toBe(1);
        settle(values.map((_, i) => given.reduce((all, own) => all + (own[i] as number), 0)));
        given = [];
        sum = new Promise((resolve) => {
          settle = resolve;
        });
      }
      return mine;
    },
  }));
}

/** What three nodes know of five samples, each of its own only. */
function facts(): SharedFacts[] {
  return [
    { from: 0, to: 2 },
    { from: 2, to: 2 },
    { from: 2, to: 5 },
  ].map((share, node) => {
    const rowsOf = (name: number): Float64Array[] =>
      [1, 3, 0, 2, 1].map((length, sample) => {
        const isOwn = sample >= share.from && sample < share.to;
        // rubbish of an earlier step where it is another one's
        return Float64Array.from({ length }, (_, i) =>
          isOwn ? 100 * name + 10 * sample + i : 9999,
        );
      });
    return { sums: [node, 0.5, -node], rows: [rowsOf(1), rowsOf(2)], share, isSound: true };
  });
}

describe("facts of an update", () => {
  it("are added up and completed at all nodes, update after update", async () => {
    const nodes = exchanges(3);
    for (let update = 0; update < 2; update++) {
      const known = facts();
      const sums = await Promise.all(
        nodes.map((node, i) => exchangeFacts(node, known[i] as SharedFacts)),
      );
      for (const [node, { rows }] of known.entries()) {
        expect(sums[node]).toEqual([3, 1.5, -3]);
        expect(rows.map((all) => all.map((row) => Array.from(row)))).toEqual([
          [[100], [110, 111, 112], [], [130, 131], [140]],
          [[200], [210, 211, 212], [], [230, 231], [240]],
        ]);
      }
    }
  });

  const spoil: Readonly<Record<string, (own: SharedFacts) => SharedFacts>> = {
    "a sum that is not finite": (own) => ({ ...own, sums: [Number.NaN, 0, 0] }),
    "a sum that f32 has no room for": (own) => ({ ...own, sums: [1e39, 0, 0] }),
    "a sum that has none with others": (own) => ({ ...own, sums: [0, 2e38, 0] }),
    "a row that is not finite": (own) => {
      (own.rows[1]?.[3] as Float64Array)[1] = Number.NEGATIVE_INFINITY;
      return own;
    },
    "a gradient that is not": (own) => ({ ...own, isSound: false }),
  };

  it.each(Object.keys(spoil))("%s at one node: an error at all", async (name) => {
    const known = facts();
    known[2] = (spoil[name] as (own: SharedFacts) => SharedFacts)(known[2] as SharedFacts);
    const errors = await Promise.all(
      exchanges(3).map((node, i) => errorOf(exchangeFacts(node, known[i] as SharedFacts))),
    );
    for (const error of errors) {
      expect(error).toMatchObject({ code: "non_finite" });
      expect(error.message).toContain("at 1 of the nodes");
    }
  });

  it("of others that are not finite here are no matter: they are filled in", async () => {
    const known = facts();
    (known[1]?.rows[0]?.[0] as Float64Array)[0] = Number.NaN;
    await Promise.all(exchanges(3).map((node, i) => exchangeFacts(node, known[i] as SharedFacts)));
    expect(known[1]?.rows[0]?.[0]).toEqual(Float64Array.of(100));
  });

  it("may be added at as many nodes as there can be", () => {
    for (const value of [0, -0, 1e-45, -1e33]) expect(isAddable(value)).toBe(true);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1e34])
      expect(isAddable(value)).toBe(false);
    expect(Number.isFinite(Math.fround(2 ** 16 * (2 ** 111 - 2 ** 87)))).toBe(true);
  });
});
