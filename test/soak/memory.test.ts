import { beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../engine/index.ts";
import { trainFor } from "../support/endurance.ts";
import { device } from "../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe("2,000 training steps", () => {
  test("leave live GPU bytes and the JavaScript heap flat", async () => {
    await trainFor(gpu, 12, 11);
    const { early, end } = await trainFor(gpu, 2000, 200);
    expect(end.gpu).toBe(early.gpu);
    expect(end.host - early.host).toBeLessThan(1800 * 200);
  });
});
