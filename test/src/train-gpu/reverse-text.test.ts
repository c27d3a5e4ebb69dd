import { describe, expect, it } from "vitest";
import { openPolicy } from "../../../src/train/policy/policy.ts";
import { device } from "../../support/gpu.ts";
import { logitsOf } from "../../support/lora.ts";
import { reverseText } from "../../support/reverse-text.ts";
import { SUMS, sectionOf } from "../../support/run-folder.ts";
import { useFolder } from "../../support/training-run.ts";

describe("examples/reverse-text", () => {
  const folder = useFolder("reverse-text");

  it("learns in 30 steps, by what sampler and trainer agree on", async () => {
    const { before, after, mismatches } = await reverseText(
      folder,
      ...["seed=1", "train.steps=30", "eval.every=30", "optimizer.schedule=constant"],
    );
    // 384 sampled words: the standard error of either mean is below 0.015
    expect(before).toBeLessThan(0.6);
    expect(after - before).toBeGreaterThan(0.05);
    expect(mismatches).toHaveLength(30);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
  });
});

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
