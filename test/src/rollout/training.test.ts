import { describe, expect, it } from "vitest";
import {
  AdamW,
  chainForest,
  compile,
  grad,
  parametersOf,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { Sampler } from "../../../src/rollout/sampler.ts";
import { loadGolden } from "../../support/golden-models.ts";
import { device } from "../../support/gpu.ts";
import { mismatch } from "../../support/sampling.ts";

describe("sampling from weights in training", () => {
  it("sees every step at once, and holds no weights of its own", async () => {
    const on = await device();
    const model = await loadGolden(on, "llama2");
    const { transformer } = model;
    const sampler = new Sampler({ device: on, model, batch: 4, length: 32 });
    const ask = () =>
      Promise.all(
        [4, 5, 6].map((id) =>
          sampler.generate({ prompt: [id, 7, 8], maxTokens: 12, sampling: { seed: id } }),
        ),
      );
    const before = await ask();
    expect((await mismatch(on, model, before)).logprob).toBeLessThan(1e-5);

    const optimizer = new AdamW(on, parametersOf(transformer), { lr: 0.01 });
    const forest = chainForest([16]);
    const step = compile(
      (ids: Tensor, labels: Tensor) => {
        const loss = transformer.score(ids, labels, forest).logprob.mean().neg();
        optimizer.step(grad(loss, optimizer.parameters));
        return loss;
      },
      { device: on, label: "step" },
    );
    const text = Array.from({ length: 17 }, (_, i) => 10 + (i % 3));
    const ids = tensor(Uint32Array.from(text.slice(0, -1)));
    const labels = tensor(Uint32Array.from(text.slice(1)));
    const losses: number[] = [];
    let live = 0;
    for (let version = 1; version <= 6; version++) {
      losses.push(await (await step(ids, labels)).item());
      sampler.policyVersion = version;
      const now = await ask();
      expect(now.map((g) => g.reusedTokens)).toEqual([0, 0, 0]);
      expect(now[0]?.policyVersions).toEqual([version, version]);
      expect((await mismatch(on, model, now)).logprob).toBeLessThan(1e-5);
      if (version === 2) live = on.liveBytes;
      if (version > 2) expect(on.liveBytes).toBe(live);
    }
    expect(losses.at(-1)).toBeLessThan((losses[0] as number) / 2);
    const learned = await sampler.generate({
      prompt: [10, 11, 12],
      maxTokens: 9,
      sampling: { temperature: 0 },
    });
    expect(learned.ids).toEqual([10, 11, 12, 10, 11, 12, 10, 11, 12]);
    await sampler.close();
    optimizer[Symbol.dispose]();
  });
});
