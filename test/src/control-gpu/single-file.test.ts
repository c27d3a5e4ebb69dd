import { expect, it } from "vitest";
import { train } from "../../../examples/cartpole/cartpole-single-file.ts";
import { cartPole } from "../../../src/control/cart-pole.ts";
import { ControlPpo } from "../../../src/control/control-ppo.ts";
import { device } from "../../support/gpu.ts";

it("the library and the single file train alike, bit for bit", async () => {
  const [gpu, seed, totalTimesteps] = [await device(), 3, 5 * 256];
  using ppo = new ControlPpo({
    ...{ device: gpu, environment: cartPole({ numEnvs: 8 }), seed, totalTimesteps },
    ...{ numSteps: 32, numMinibatches: 1, updateEpochs: 20, gamma: 0.98, gaeLambda: 0.8 },
    ...{ learningRate: 1e-3, annealClip: true, clipVloss: false, entCoef: 0 },
  });
  let updates = 0;
  for await (const { globalStep, loss, valueLoss, parameters } of train(
    gpu,
    seed,
    totalTimesteps,
  )) {
    const metrics = await ppo.update();
    expect(ppo.globalStep).toBe(globalStep);
    expect([metrics["losses/loss"], metrics["losses/value_loss"]]).toEqual([loss, valueLoss]);
    if (!ppo.isDone) continue;
    const own = Object.values((await ppo.save()).parameters);
    expect(parameters).toHaveLength(own.length);
    for (const [i, theirs] of parameters.entries()) expect(await theirs.read()).toEqual(own[i]);
    updates = ppo.iteration;
  }
  expect(updates).toBe(5);
});
