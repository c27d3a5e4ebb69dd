import { beforeAll, describe, expect, it } from "vitest";
import { arange, type Device, iota } from "../../../engine/index.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate } from "../../support/evaluate.ts";
import { device } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe("iota", () => {
  it("counts along one axis, in every dtype and through views", async () => {
    const { values } = await evaluate(gpu, () => ({
      down: iota([2, 4], 0),
      across: iota([2, 4], -1, "f32").mul(0.5),
      signed: iota([3], 0, "i32").sub(1),
      part: iota([2, 6]).slice(1, 2, 5).transpose(),
    }));
    expect([...values.down]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect([...values.across]).toEqual([0, 0.5, 1, 1.5, 0, 0.5, 1, 1.5]);
    expect([...values.signed]).toEqual([-1, 0, 1]);
    expect([...values.part]).toEqual([2, 2, 3, 3, 4, 4]);
  });

  it("refuses an axis that is not there", () => {
    expect(codeOf(() => iota([2], 1))).toBe("rank_mismatch");
  });
});

describe("arange", () => {
  it("counts from 0", async () => {
    expect([...(await arange(5).read())]).toEqual([0, 1, 2, 3, 4]);
    expect(await arange(0).read()).toHaveLength(0);
  });
});
