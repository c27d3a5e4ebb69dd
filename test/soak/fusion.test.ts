import { beforeAll, describe, test } from "vitest";
import { expectBitwiseFusion, expectCloseFusion, expectExactFusion } from "../support/fusion.ts";
import { device } from "../support/gpu.ts";

beforeAll(async () => {
  await device();
});

describe("fusion of many programs", () => {
  test("gives the integers that the definition gives, through maps, views, reductions and products", async () => {
    await expectExactFusion({ numRuns: 1500 });
  });

  test("gives the bits of op-by-op evaluation for maps and views", async () => {
    await expectBitwiseFusion({ numRuns: 300 });
  });

  test("differs from op-by-op evaluation only by the order of sums", async () => {
    await expectCloseFusion({ numRuns: 300 });
  });
});
