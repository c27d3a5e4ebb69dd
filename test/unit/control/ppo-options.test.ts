import { describe, expect, it } from "vitest";
import { type ControlPpoSettings, ppoSettings } from "../../../src/control/ppo-options.ts";

describe("the settings of PPO", () => {
  it("are CleanRL's where nothing is said, and undefined says nothing", () => {
    const settings = ppoSettings({ gamma: undefined, clipCoef: 0.1 } as object, 4);
    expect(settings).toMatchObject({
      ...{ totalTimesteps: 500_000, learningRate: 2.5e-4, numSteps: 128, annealLr: true },
      ...{ gamma: 0.99, gaeLambda: 0.95, numMinibatches: 4, updateEpochs: 4, normAdv: true },
      ...{ clipCoef: 0.1, clipVloss: true, entCoef: 0.01, vfCoef: 0.5, maxGradNorm: 0.5 },
    });
    expect(settings.targetKl).toBeUndefined();
  });

  const wrong: Partial<ControlPpoSettings>[] = [
    { seed: -1 },
    { seed: 2 ** 32 },
    { totalTimesteps: 511 },
    { numSteps: 0 },
    { updateEpochs: 1.5 },
    { numMinibatches: 3 },
    { gamma: 1.01 },
    { gaeLambda: Number.NaN },
    { learningRate: -1 },
    { learningRate: Number.POSITIVE_INFINITY },
    { entCoef: -0.1 },
    { vfCoef: Number.NaN },
    { clipCoef: 0 },
    { maxGradNorm: 0 },
    { targetKl: 0 },
    { hiddenSizes: [64, 0] },
  ];
  it.each(wrong)("refuse %o", (settings) => {
    expect(() => ppoSettings(settings, 4)).toThrowError(
      expect.objectContaining({ code: "argument_invalid" }),
    );
  });
});
