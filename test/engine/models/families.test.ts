import { afterAll, describe, expect, it } from "vitest";
import { chainForest, compile, type Tensor, tensor } from "../../../engine/index.ts";
import { expectedOf, goldenModels, loadGolden } from "../../support/golden-models.ts";
import { device } from "../../support/gpu.ts";

afterAll(async () => (await device()).idle());

describe("models of every family against the original library", () => {
  it.each(goldenModels)("%s: logits", async (name) => {
    const on = await device();
    const { transformer } = await loadGolden(on, name);
    const { rows, tokens, ids, logits } = await expectedOf(name);
    const forest = chainForest(Array.from({ length: rows }, () => tokens));
    const run = compile((input: Tensor) => transformer.logits(transformer.hidden(input, forest)), {
      device: on,
    });
    const got = await (await run(tensor(ids))).read();
    let worst = 0;
    for (let i = 0; i < logits.length; i++)
      worst = Math.max(worst, Math.abs((got[i] as number) - (logits[i] as number)));
    expect(got.length).toBe(logits.length);
    expect(worst).toBeLessThan(1e-4);
    expect(worst).toBeGreaterThan(0); // two independent programs never agree in every bit
  });
});
