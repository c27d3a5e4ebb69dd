import { describe, it } from "vitest";
import { randoms } from "../support/gpu.ts";
import { killedRuns, SETTINGS, undisturbed } from "../support/killed-runs.ts";
import { tinyConfig, useFolder } from "../support/training-run.ts";

const KILLS = 15;

describe.each(Object.entries(SETTINGS))(`${KILLS} kills of a run: %s`, (name, setting) => {
  const folder = useFolder("soak");

  it("leave the bits of one that was never disturbed", async () => {
    const config = tinyConfig(setting);
    const whole = await undisturbed(folder, config);
    const random = randoms(name.length);
    await killedRuns(folder, config, {
      ...{ kills: KILLS, whole },
      moment: () => 500 + 3500 * random.next(),
    });
  });
});
