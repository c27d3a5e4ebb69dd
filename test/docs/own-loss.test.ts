import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { linesOf, runsOf, trainBy, useFolder } from "../support/training-run.ts";

const CONFIG = resolve(import.meta.dirname, "../../examples/own-loss/own-loss.config.ts");

describe("examples/own-loss", () => {
  const folder = useFolder("own-loss");

  it("trains with an advantage and a loss of its own, four updates a step", async () => {
    const settings = [
      ...[`run.directory=${join(folder, "runs")}`, "train.steps=2", "train.warmStart.steps=10"],
      ...["rollout.groupsPerStep=4", "rollout.slots=4", "eval.every=0", "checkpoint.every=0"],
      "optimizer.warmupSteps=1",
    ];
    const { code, stderr } = await trainBy(
      CONFIG,
      ...settings.flatMap((setting) => ["--set", setting]),
    );
    expect(code, stderr).toBe(0);
    const lines = linesOf(join(runsOf(folder, "own-loss").at(-1) as string, "metrics.jsonl"));
    const steps = lines.filter((line) => "losses/clip_fraction" in line);
    expect(steps).toHaveLength(2);
    // the first of four updates is on-policy; those behind it are not, and there the taper cuts
    for (const line of steps) {
      expect(line["losses/clip_fraction"]).toBeGreaterThan(0);
      expect(line["losses/clip_fraction"]).toBeLessThan(0.75);
      expect(line["mismatch/max_abs"]).toBeLessThanOrEqual(1e-4);
    }
  });
});
