import { describe, expect, test } from "vitest";
import {
  type CacheAttentionCall,
  cacheLanesVariant,
  cacheWorkgroupVariant,
  chooseCacheAttention,
} from "../../../engine/ops/cache-variants.ts";

const HARDWARE = { isSoftware: false, subgroupSize: undefined };
const CALL: CacheAttentionCall = {
  slots: 8,
  positions: 512,
  dtype: "f32",
  rows: 8,
  heads: 8,
  kvHeads: 4,
  headDim: 64,
  qkvOffset: 0,
  qkvStride: 1024,
  scale: 1,
  softcap: 0,
  window: 0,
};

function constantsOf(
  variant: typeof cacheLanesVariant,
  call: CacheAttentionCall,
): Record<string, number> {
  const { constants } = variant.plan({ isSoftware: true, subgroupSize: 8 }, call).attend.options;
  return constants as Record<string, number>;
}

describe("chooseCacheAttention", () => {
  test("takes lanes on CPUs with subgroups of 4, 8 or 16, and workgroups elsewhere", () => {
    const choice = (isSoftware: boolean, subgroupSize: number | undefined): string =>
      chooseCacheAttention({ isSoftware, subgroupSize }).name;
    for (const size of [4, 8, 16]) expect(choice(true, size)).toBe("lanes");
    for (const size of [1, 32, undefined]) expect(choice(true, size)).toBe("workgroup");
    for (const size of [8, 32, undefined]) expect(choice(false, size)).toBe("workgroup");
    expect(cacheLanesVariant.refusal({ ...HARDWARE, subgroupSize: 64 })).toContain("64");
  });
});

describe("the queries of a workgroup", () => {
  const shapes = [1, 2, 3, 7, 16].flatMap((group) =>
    [8, 12, 64, 80, 128, 256].flatMap((headDim) =>
      [8, 9].map((rows) => ({ ...CALL, headDim, rows, heads: group * CALL.kvHeads })),
    ),
  );

  test.each([
    ["lanes", cacheLanesVariant, 256],
    ["workgroup", cacheWorkgroupVariant, 512],
  ] as const)("are at most 8, and few numbers, by %s", (_name, variant, most) => {
    for (const call of shapes) {
      const { ROWS = 0, GROUP = 0 } = constantsOf(variant, call);
      expect(ROWS * GROUP).toBeLessThanOrEqual(8);
      if (ROWS * GROUP > 1) expect(ROWS * GROUP * call.headDim).toBeLessThanOrEqual(most);
      // All heads are served.
      const { grid } = variant.plan(HARDWARE, call).attend;
      expect(grid[0] * GROUP).toBeGreaterThanOrEqual(call.heads);
      expect(grid[1] * ROWS).toBeGreaterThanOrEqual(call.rows);
    }
  });

  test("are of several rows only where rows must share a slot", () => {
    for (const variant of [cacheLanesVariant, cacheWorkgroupVariant]) {
      expect(constantsOf(variant, { ...CALL, headDim: 8, rows: 8 })["ROWS"]).toBe(1);
      expect(constantsOf(variant, { ...CALL, headDim: 8, rows: 9 })["ROWS"]).toBe(4);
    }
  });
});

describe("the workgroup kernel", () => {
  test("fits the smallest workgroup memory", () => {
    for (let headDim = 8; headDim <= 256; headDim += 4) {
      const { ROWS = 0, GROUP = 0 } = constantsOf(cacheWorkgroupVariant, {
        ...CALL,
        ...{ headDim, heads: 64, rows: 9 },
      });
      // Queries, parts of scores, scores, maxima, factors; the parts of a result.
      const floats = ROWS * GROUP * (headDim + 64 * 4 + 64 + 8 + 2) + 128 * 4;
      expect(4 * floats, `head size ${headDim}`).toBeLessThanOrEqual(16_384);
    }
  });

  test("cuts long caches into spans of whole tiles, whatever the rows are", () => {
    const spans = (positions: number, rows: number): readonly number[] => {
      const { attend } = cacheWorkgroupVariant.plan(HARDWARE, { ...CALL, positions, rows });
      return [...attend.params.subarray(9, 11)];
    };
    expect(spans(512, 1)).toEqual([1, 512]);
    expect(spans(1024, 1)).toEqual([1, 1024]);
    expect(spans(1025, 1)).toEqual([3, 384]);
    expect(spans(32_768, 1)).toEqual([16, 2048]);
    for (const positions of [1100, 2000, 4096, 40_960, 131_072]) {
      const [count = 0, length = 0] = spans(positions, 1);
      expect(length % 64).toBe(0);
      expect(count * length).toBeGreaterThanOrEqual(positions);
      expect((count - 1) * length).toBeLessThan(positions);
      for (const rows of [7, 100, 2000]) expect(spans(positions, rows)).toEqual([count, length]);
    }
  });

  test("has room for the parts of all spans", () => {
    const call = { ...CALL, positions: 2048 };
    const { combine } = cacheWorkgroupVariant.plan(HARDWARE, call);
    expect(combine?.elements).toBe(8 * 8 * 4 * (64 + 4));
    expect(cacheWorkgroupVariant.plan(HARDWARE, CALL).combine).toBeUndefined();
  });
});
