import { beforeAll, describe, test } from "vitest";
import { expectCloseFusion, expectExactFusion } from "../support/fusion.ts";
import { device } from "../support/gpu.ts";

beforeAll(async () => {
  await device();
});

describe("fusion of many programs", () => {
  test("gives the integers that the definition gives, through maps, views, reductions and products", async () => {
    await expectExactFusion({ numRuns: 1500 });
  });

  test("gives them as i32 too", async () => {
    await expectExactFusion({ numRuns: 500 }, "i32");
  });

  test("gives them as f16 too, where the adapter has it", async ({ skip }) => {
    if (!(await device()).hasF16) skip("the adapter has no f16");
    await expectExactFusion({ numRuns: 500 }, "f16");
  });

  test("differs from op-by-op evaluation by a few ulp at most", async () => {
    await expectCloseFusion({ numRuns: 1000 });
  });
});
