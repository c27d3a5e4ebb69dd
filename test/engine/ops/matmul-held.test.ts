import { beforeAll, describe, expect, test } from "vitest";
import { packingOf } from "../../../engine/graph/packing.ts";
import { type Device, matmul, parameter, tensor } from "../../../engine/index.ts";
import type { Held } from "../../../engine/ops/held-operands.ts";
import { MATMUL_VARIANTS, type MatmulMode } from "../../../engine/ops/matmul-variants.ts";
import { decoded, toHostArray } from "../../../engine/tensor/dtype.ts";
import { array } from "../../reference/array.ts";
import { matmulArrays } from "../../reference/matmul.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { HELD, withPacking } from "../../support/held.ts";
import { expectMatmul, type MatmulSizes, matmulShape } from "../../support/matmul-case.ts";
import { summed } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/**
 * The smallest variant of each file: others differ from it by constants. Those whose text takes seconds to compile read words
 * of one kind only: what the other kind needs are the same few letters in all files.
 */
const FILES: readonly [
  variant: string,
  mode: MatmulMode,
  dtypes: readonly Held["dtype"][],
  sizes: MatmulSizes,
][] = [
  ["plain", "TN", ["bf16", "f16"], { m: 5, n: 7, k: 9, inner: 2, offset: 1, gap: 2 }],
  ["lanes_any_8", "NT", ["bf16", "f16"], { m: 9, n: 35, k: 19, offset: 3 }],
  ["lanes_8", "NN", ["bf16", "f16"], { m: 9, n: 36, k: 17, outer: 2, offset: 4, gap: 4 }],
  // rows enough for b to be copied first
  ["lanes_8", "NT", ["bf16", "f16"], { m: 68, n: 36, k: 20, inner: 2, offset: 4 }],
  ["rows", "NN", ["bf16"], { m: 2, n: 36, k: 33, offset: 4 }],
  ["rows", "NT", ["f16"], { m: 2, n: 36, k: 132, gap: 4 }],
  ["tiles_any_32", "NN", ["f16"], { m: 33, n: 35, k: 19, gap: 1 }],
  ["tiles_32", "NT", ["bf16"], { m: 36, n: 36, k: 20, offset: 4 }],
];

describe.each(FILES)("products of packed operands by %s, %s", (name, mode, dtypes, sizes) => {
  test.for(dtypes)("of %s", async (dtype, { skip }) => {
    const variant = MATMUL_VARIANTS.find((v) => v.name === name) ?? expect.fail(name);
    const facts = { subgroupSize: gpu.subgroupSize, isSoftware: name.startsWith("lanes") };
    const shape = matmulShape(mode, sizes);
    if (!variant.supports(facts, shape)) skip("this adapter has no lanes of a known number");
    await expectMatmul(gpu, facts, variant, shape, { dtype, packing: packingOf(dtype, NO_F16) });
  });
});

const NO_F16 = { hasF16: false };

/** Rows as in decoding, and more than a tile has; [k, n] that four divides, and odd ones, whose rows begin within words. */
const SIZES = [
  [1, 64, 48],
  [3, 33, 17],
  [8, 64, 48],
  [33, 64, 48],
  [64, 33, 17],
  [100, 64, 48],
] as const;

describe.each(HELD)("weights held as $name", ({ held }) => {
  const { dtype } = held;
  test.each(dtype === "bf16" ? SIZES : SIZES.filter(([m]) => m === 3 || m === 100))(
    "give the products of f64 for %i rows of %i, %i columns",
    async (m, k, n) => {
      const random = randoms(m);
      const x = random.floats(m * k);
      const bits = toHostArray(random.floats(k * n), dtype);
      const weight = Float64Array.from(bits, (b) => decoded(b, dtype));
      const across = Float64Array.from({ length: k * n }, (_, i) =>
        Number(weight[(i % n) * k + Math.floor(i / n)]),
      );
      await withPacking(gpu, held, async () => {
        for (const [isTransposed, b] of [
          [false, weight],
          [true, across],
        ] as const) {
          using state = parameter(isTransposed ? [n, k] : [k, n], bits, "weight", dtype);
          const right = isTransposed ? state.transpose() : state;
          const y = await matmul(tensor(x, [m, k]), right).read();
          const expected = matmulArrays(array([m, k], Float64Array.from(x)), array([k, n], b));
          expectClose(y, expected.data, summed(k), isTransposed ? "NT" : "NN");
        }
      });
    },
  );
});
