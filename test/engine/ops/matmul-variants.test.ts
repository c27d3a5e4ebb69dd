import { beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../../engine/index.ts";
import {
  contiguousMatmul,
  MATMUL_VARIANTS,
  type MatmulDeviceFacts,
  type MatmulMode,
  type MatmulVariant,
  matmulCandidates,
} from "../../../engine/ops/matmul-variants.ts";
import { device } from "../../support/gpu.ts";
import { expectMatmul, type MatmulSizes, matmulShape } from "../../support/matmul-case.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** What the adapter is, or, for kernels made for hardware, what it would be with the same features. */
function factsFor(variant: MatmulVariant): MatmulDeviceFacts {
  const { subgroupSize, hasF16, hasSubgroupMatrix, limits } = gpu;
  const isForSoftware = variant.name.startsWith("lanes");
  return { subgroupSize, hasF16, hasSubgroupMatrix, limits, isSoftware: isForSoftware };
}

/** Large kernels with barriers, on a software adapter: a browser's runs none of them, Node's in one mode of three. */
function isSlow(variant: MatmulVariant, mode: MatmulMode): boolean {
  const isLarge = variant.name === "rows" || /^tiles.*_(64|128)$/.test(variant.name);
  return isLarge && gpu.isSoftware && (mode !== "NN" || "document" in globalThis);
}

/** Sizes around a tile, one element, and a batch of matrices that lie apart, that share b, and start anywhere. */
function sizesFor(
  variant: MatmulVariant,
  facts: MatmulDeviceFacts,
  mode: MatmulMode,
): MatmulSizes[] {
  const small = matmulShape(mode, { m: 8, n: 8, k: 8 });
  const { rows, cols } = variant.tile(facts, small);
  const step = variant.hook === "store4" ? 4 : 1;
  const up = (x: number): number => Math.ceil(Math.max(1, x) / step) * step;
  return [
    { m: step, n: step, k: step },
    { m: up(rows - 1), n: cols - step, k: up(5) },
    { m: rows, n: cols, k: 16, outer: 2, offset: step, gap: step },
    { m: up(rows + 1), n: cols + step, k: up(33), inner: 3, isShared: true },
    // rows enough for b to be copied first, by the variants that do so
    { m: 68, n: cols + step, k: 132, inner: 2, offset: step },
    { m: up(rows - 3), n: up(7), k: up(19), outer: 2, inner: 2, offset: 3 * step, gap: 2 * step },
  ];
}

const MODES = ["NN", "NT", "TN"] as const;

describe.each(MATMUL_VARIANTS.map((v) => [v.name, v] as const))("%s", (_name, variant) => {
  test.for(MODES)(
    "gives the products of f64 and touches nothing else, %s",
    async (mode, { skip }) => {
      const facts = factsFor(variant);
      const shapes = sizesFor(variant, facts, mode).map((sizes) => matmulShape(mode, sizes));
      const usable = shapes.filter((s) => variant.supports(facts, s));
      if (isSlow(variant, mode))
        skip("compiles for seconds here, and differs from a smaller one by constants");
      if (usable.length === 0) skip(`${variant.name} is not for ${mode} on this adapter`);
      for (const shape of usable) await expectMatmul(gpu, facts, variant, shape);
    },
  );
});

describe("matmulCandidates", () => {
  test("offers a variant for every shape, the plain one among them", () => {
    for (const mode of MODES) {
      for (const [m, n, k] of [
        [1, 1, 1],
        [3, 5, 7],
        [64, 64, 64],
        [1, 4096, 4096],
        [4096, 4096, 4096],
      ] as const) {
        const names = matmulCandidates(gpu, contiguousMatmul(mode, { m, n, k })).map((v) => v.name);
        expect(names).toContain("plain");
      }
    }
  });

  test("offers variants that round to f16 only to callers who agreed", () => {
    const facts = {
      isSoftware: false,
      subgroupSize: 32,
      hasF16: true,
      hasSubgroupMatrix: true,
      limits: { maxComputeWorkgroupStorageSize: 65536 },
    };
    const shape = contiguousMatmul("NN", { m: 512, n: 512, k: 512 });
    expect(matmulCandidates(facts, shape).some((v) => v.isRounding)).toBe(false);
    expect(matmulCandidates(facts, shape, { canRound: true })[0]?.isRounding).toBe(true);
  });

  test("prefers large tiles for large products and small ones for small products", () => {
    const facts = { isSoftware: false, subgroupSize: 32 };
    const best = (m: number, n: number): string | undefined =>
      matmulCandidates(facts, contiguousMatmul("NN", { m, n, k: 512 }))[0]?.name;
    expect(best(4096, 4096)).toBe("tiles_128");
    expect(best(4, 4096)).toBe("rows");
    expect(best(128, 128)).not.toBe("tiles_128");
  });
});
