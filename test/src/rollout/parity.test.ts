import { describe, expect, it } from "vitest";
import type { Generation } from "../../../src/rollout/request.ts";
import { Sampler } from "../../../src/rollout/sampler.ts";
import { goldenModels, loadGolden } from "../../support/golden-models.ts";
import { device } from "../../support/gpu.ts";
import { integers, mismatch } from "../../support/sampling.ts";

const LIMIT = 1e-5;

describe("log-probs from the cache against a full forward over the same ids", () => {
  it.each(goldenModels)(
    "%s: one sequence, 32 ragged ones, after cancellation, across turns",
    async (name) => {
      const on = await device();
      const model = await loadGolden(on, name);
      const prompts = integers(7, 32, 21, 1).map((n, i) => integers(100 + i, n, 96, 3));
      const temperatures = prompts.map((_, i) => [1, 0.7, 1.5, 0][i % 4] as number);

      const alone = new Sampler({ device: on, model, batch: 1, length: 64 });
      const single = await alone.generate({ prompt: prompts[3] as number[], maxTokens: 40 });
      expect(single.ids).toHaveLength(40);
      expect((await mismatch(on, model, [single])).logprob).toBeLessThan(LIMIT);
      await alone.close();

      const sampler = new Sampler({ device: on, model, batch: 32, length: 64, steps: 4 });
      const ask = (i: number, more = {}): Promise<Generation> =>
        sampler.generate({
          prompt: prompts[i] as number[],
          maxTokens: 1 + ((i * 5) % 24),
          sampling: { temperature: temperatures[i] as number, seed: i, topK: i % 3 === 0 ? 7 : 0 },
          ...more,
        });
      const ragged = await Promise.all(prompts.map((_, i) => ask(i)));
      const all = await mismatch(on, model, ragged, temperatures);
      expect(all.logprob).toBeLessThan(LIMIT);
      expect(all.entropy).toBeLessThan(10 * LIMIT);

      // half of them end early; others take their slots
      const again = await Promise.all(
        prompts.flatMap((_, i) => {
          const stop = new AbortController();
          const onToken = (): void => (i % 2 ? stop.abort() : undefined);
          return [ask(i, { signal: stop.signal, onToken, maxTokens: 24 }), ask((i + 5) % 32)];
        }),
      );
      expect(again.filter((g) => g.finishReason === "cancelled").length).toBeGreaterThan(8);
      const reused = await mismatch(
        on,
        model,
        again,
        again.map((_, i) => temperatures[i % 2 ? ((i >> 1) + 5) % 32 : i >> 1] as number),
      );
      expect(reused.logprob).toBeLessThan(LIMIT);

      using session = sampler.session();
      const turns: Generation[] = [];
      for (const [turn, append] of [[5, 6, 7], [8], [9, 10, 11, 12]].entries())
        turns.push(await session.generate({ append, maxTokens: 7, sampling: { seed: turn } }));
      expect(turns.map((t) => t.reusedTokens)).toEqual([expect.any(Number), 3 + 6, 3 + 7 + 1 + 6]);
      expect(turns[2]?.promptIds.slice(0, -4)).toEqual([
        ...(turns[1]?.promptIds ?? []),
        ...(turns[1]?.ids ?? []),
      ]);
      expect((await mismatch(on, model, turns)).logprob).toBeLessThan(LIMIT);
      await sampler.close();
    },
  );
});
