import { describe, expect, it } from "vitest";
import { Random } from "../../../engine/index.ts";
import { ActorCritic } from "../../../src/control/actor-critic.ts";
import { PpoLearner } from "../../../src/control/ppo-learner.ts";
import { ppoSettings } from "../../../src/control/ppo-options.ts";
import { adamwStep } from "../../reference/adamw.ts";
import { ppoReference, type ReferenceLayer } from "../../reference/control-ppo.ts";
import { clipFactor, globalNorm } from "../../reference/global-norm.ts";
import { asMinibatch, CONTROL_SIZES, controlCase } from "../../support/control-case.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const LR = 0.01;

/** Parameters of the networks by the names that the learner gives them, in the order of the oracle's gradients. */
function named(networks: Record<string, readonly ReferenceLayer[]>): [string, Float32Array][] {
  return Object.entries(networks).flatMap(([network, layers]) =>
    layers.flatMap(({ weight, bias }, i): [string, Float32Array][] => [
      [`${network}.${i}.weight`, Float32Array.from(weight)],
      [`${network}.${i}.bias`, Float32Array.from(bias)],
    ]),
  );
}

describe.each([
  { clipVloss: true, entCoef: 0.05, normAdv: true, maxGradNorm: 0.5 },
  { clipVloss: false, entCoef: 0, normAdv: false, maxGradNorm: 50 },
])("one step of PPO with %o", (options) => {
  it("has the losses, the gradients and the parameters of the f64 oracle", async () => {
    const gpu = await device();
    const { actor, critic, batch } = controlCase(5);
    const { observationSize } = CONTROL_SIZES;
    const policy = new ActorCritic(new Random(0), CONTROL_SIZES);
    const settings = ppoSettings({ ...options, learningRate: LR, vfCoef: 0.7 }, 1);
    using learner = new PpoLearner(gpu, policy, settings, observationSize);
    const before = named({ actor, critic });
    learner.restore(Object.fromEntries(before), await learner.optimizer.save());

    const rows = Uint32Array.from(batch.actions.keys()).reverse();
    const step = await learner.step(batch, rows, 0.2);
    const { losses, gradients } = ppoReference(actor, critic, asMinibatch(batch, options.normAdv), {
      ...settings,
      clipCoef: 0.2,
    });
    for (const [name, expected] of Object.entries(losses)) {
      const actual = await step[name as keyof typeof losses].item();
      expectClose([actual], [expected], TOLERANCES.chain, name);
    }
    const norm = globalNorm(gradients.flatMap((g) => [...g]));
    expectClose([await step.gradNorm.item()], [norm], TOLERANCES.gradient, "gradient norm");

    const multiplier = clipFactor(norm, options.maxGradNorm) as number;
    expect(multiplier < 1).toBe(options.maxGradNorm < 1);
    const { m } = (await learner.optimizer.save()).moments as Record<
      string,
      Record<string, Float32Array>
    >;
    const largest = Math.max(...gradients.map((g) => Math.max(...g.map(Math.abs))));
    for (const [i, [name, values]] of before.entries()) {
      const moment = m?.[name] as Float32Array;
      const expected = gradients[i]?.map((g) => 0.1 * multiplier * g) as Float64Array;
      expectClose(moment, expected, { abs: 1e-6 * largest, rel: 2e-5 }, `moment of ${name}`);
      // from the gradient as it came out: Adam divides by |g| + 1e-5, and would make more of its error where it is small
      const parameter = Float64Array.from(values);
      const zeros = [new Float64Array(values.length), new Float64Array(values.length)] as const;
      const adam = { lr: LR, beta1: 0.9, beta2: 0.999, epsilon: 1e-5, step: 1 };
      adamwStep(
        parameter,
        moment.map((x) => x / 0.1),
        ...zeros,
        adam,
      );
      const state = learner.optimizer.parameters.find((p) => p.name === name);
      expectClose((await state?.read()) as Float32Array, parameter, TOLERANCES.optimizer, name);
    }
  });
});
