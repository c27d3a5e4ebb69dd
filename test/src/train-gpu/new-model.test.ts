import { describe, expect, it } from "vitest";
import { openPolicy } from "../../../src/train/policy/policy.ts";
import { device } from "../../support/gpu.ts";
import { logitsOf } from "../../support/lora.ts";
import { SUMS, sectionOf } from "../../support/run-folder.ts";

describe("weights of a new model", () => {
  it("follow the run's seed, unless they have one of their own", async () => {
    const gpu = await device();
    const logits = async (run: number, seed: number | null): Promise<Float32Array> => {
      const section = sectionOf({ create: { ...SUMS.create, seed } });
      await using policy = await openPolicy(section, { device: gpu, seed: run });
      return await logitsOf(policy.model, Uint32Array.from([1, 10, 2]));
    };
    const first = await logits(1, null);
    expect(await logits(1, null)).toEqual(first);
    expect(await logits(2, null)).not.toEqual(first);
    expect(await logits(2, 1)).toEqual(first);
  });
});
