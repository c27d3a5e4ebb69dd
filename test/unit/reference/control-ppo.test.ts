/** The oracle of PPO against central differences of its own loss, in f64. */
import { expect, it } from "vitest";
import { ppoReference, type ReferenceLayer } from "../../reference/control-ppo.ts";
import { asMinibatch, controlCase } from "../../support/control-case.ts";
import { expectClose } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

it.each([true, false])(
  "the oracle of PPO has the slopes of its loss, clipVloss %s",
  (clipVloss) => {
    const { actor, critic, batch } = controlCase(5);
    const minibatch = asMinibatch(batch, true);
    const coefficients = { clipCoef: 0.2, clipVloss, entCoef: 0.05, vfCoef: 0.7 };
    const copy = (layers: readonly ReferenceLayer[]) =>
      layers.map((layer) => ({
        ...layer,
        weight: Float64Array.from(layer.weight),
        bias: Float64Array.from(layer.bias),
      }));
    const networks = [copy(actor), copy(critic)] as const;
    const parameters = networks.flat().flatMap(({ weight, bias }) => [weight, bias]);
    const { gradients } = ppoReference(...networks, minibatch, coefficients);
    const h = 1e-6; // no ratio and no value is as near to its bound
    for (const [i, parameter] of parameters.entries()) {
      const slopes = parameter.map((at, k) => {
        const [above, below] = [at + h, at - h].map((moved) => {
          parameter[k] = moved;
          return ppoReference(...networks, minibatch, coefficients).losses.loss;
        }) as [number, number];
        parameter[k] = at;
        return (above - below) / (2 * h);
      });
      expectClose(gradients[i] as Float64Array, slopes, TOLERANCES.differences, `parameter ${i}`);
      expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(1e-3);
    }
  },
);

it("the case has every branch of the loss in it", () => {
  const { actor, critic, batch } = controlCase(5);
  const step = (clipVloss: boolean, clipCoef = 0.2) =>
    ppoReference(actor, critic, asMinibatch(batch, true), {
      ...{ clipCoef, clipVloss, entCoef: 0, vfCoef: 1 },
    }).losses;
  expect(step(true).clipFraction).toBeGreaterThan(0.2);
  expect(step(true).clipFraction).toBeLessThan(0.8);
  expect(step(true).policyLoss).not.toBe(step(true, 10).policyLoss);
  expect(step(true).valueLoss).toBeGreaterThan(step(false).valueLoss);
});
