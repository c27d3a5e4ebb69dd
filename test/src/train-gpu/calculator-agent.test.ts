import { describe, expect, it } from "vitest";
import { calculatorAgent } from "../../support/calculator-agent.ts";
import { useFolder } from "../../support/training-run.ts";

describe("examples/calculator-agent", () => {
  const folder = useFolder("calculator-agent");

  it("learns in 8 steps to call its tool again, by what sampler and trainer agree on", async () => {
    const { before, after, mismatches } = await calculatorAgent(
      folder,
      ...["seed=1", "train.warmStart.steps=400", "train.steps=8", "eval.every=8"],
      "optimizer.schedule=constant",
    );
    // 256 sampled problems: the standard error of either share is about 0.03
    expect(before).toBeLessThan(0.65);
    expect(after - before).toBeGreaterThan(0.1);
    expect(mismatches).toHaveLength(8);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
  });
});
