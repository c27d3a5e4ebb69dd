import { beforeAll, describe, test } from "vitest";
import { expectCloseFusion, expectExactFusion } from "../../support/fusion.ts";
import { device } from "../../support/gpu.ts";

beforeAll(async () => {
  await device();
});

describe("fusion", () => {
  test("gives the integers that the definition gives, through maps, views, reductions and products", async () => {
    await expectExactFusion({ numRuns: 25, seed: 20 });
  });

  test("differs from op-by-op evaluation by a few ulp at most", async () => {
    await expectCloseFusion({ numRuns: 15, seed: 20 });
  });
});
