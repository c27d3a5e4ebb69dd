import { beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../../engine/index.ts";
import { trainFor } from "../../support/endurance.ts";
import { device } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe("200 training steps", () => {
  test("leave live GPU bytes flat, and give them back when all is disposed", async () => {
    await trainFor(gpu, 12, 11); // one-shot plans and staging buffers are made once
    const { start, early, end, after } = await trainFor(gpu, 200, 20);
    expect(early.gpu).toBeGreaterThan(start.gpu);
    expect(end.gpu).toBe(early.gpu);
    expect(after.gpu).toBeLessThanOrEqual(start.gpu);
    // each step that left a tensor, a promise or a closure behind would show
    expect(end.host - early.host).toBeLessThan(180 * 1000);
  });
});
