import { describe, expect, it } from "vitest";
import { randoms } from "../../support/gpu.ts";
import { killedRuns, SETTINGS, undisturbed } from "../../support/killed-runs.ts";
import { tinyConfig, useFolder } from "../../support/training-run.ts";

/** The others are in the soak, with more kills. */
const HERE = Object.entries(SETTINGS).slice(1, 3);

describe.each(HERE)("a run that is killed and resumed: %s", (name, setting) => {
  const folder = useFolder("resume");

  it("has the bits of one that was never disturbed, by agents who dawdle as they please", async () => {
    const config = tinyConfig({ ...setting, train: { ...setting.train, steps: 4 } });
    const whole = await undisturbed(folder, config);
    expect(whole.metrics.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4]);
    expect(Object.keys(whole.files)).toEqual(
      expect.arrayContaining(["policy.safetensors", "optimizer.safetensors", "rollouts.jsonl"]),
    );
    const random = randoms(name.length);
    await killedRuns(folder, config, {
      ...{ kills: 2, whole },
      moment: () => 1200 + 1500 * random.next(),
    });
  });
});
