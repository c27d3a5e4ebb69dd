import { beforeAll, describe, expect, it } from "vitest";
import type { Device, SamplingOptions } from "../../../engine/index.ts";
import * as oracle from "../../reference/sample.ts";
import { draw } from "../../support/draw-rows.ts";
import type { KernelClass } from "../../support/evaluate.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** χ² of counts against shares, as a number of standard deviations (Wilson & Hilferty 1931). */
function deviations(counts: readonly number[], shares: readonly number[]): number {
  const draws = counts.reduce((a, b) => a + b, 0);
  let [chi, bins, restCount, restShare] = [0, 0, 0, 0];
  shares.forEach((share, i) => {
    // bins that expect few draws go together
    restCount += Number(counts[i]);
    restShare += share;
    if (restShare * draws < 10 && i + 1 < shares.length) return;
    if (restShare > 0) {
      chi += (restCount - restShare * draws) ** 2 / (restShare * draws);
      bins++;
    }
    [restCount, restShare] = [0, 0];
  });
  const freedom = bins - 1;
  const spread = 2 / (9 * freedom);
  return (Math.cbrt(chi / freedom) - (1 - spread)) / Math.sqrt(spread);
}

/** What is as rare as 1 in 10,000: the normal distribution's quantile. */
const RARE = 3.719;

describe("frequencies", () => {
  const draws = 20_000;
  const modes: readonly (readonly [string, SamplingOptions, KernelClass])[] = [
    ["nothing", {}, "software"],
    ["a temperature", { temperature: 0.5 }, "software"],
    ["top-k", { topK: 7 }, "software"],
    ["top-p", { topP: 0.8 }, "software"],
    ["min-p", { minP: 0.1 }, "software"],
    ["everything", { temperature: 1.4, topK: 16, topP: 0.9, minP: 0.05 }, "software"],
    ["everything", { temperature: 1.4, topK: 16, topP: 0.9, minP: 0.05 }, "hardware"],
  ];
  it.each(modes)(
    "match the softmax under %s %o, by %s kernels",
    async (_name, options, kernels) => {
      const logits = randoms(77).floats(26, -2, 2);
      const rows = Array.from({ length: draws }, (_, position) => ({
        logits,
        options: { ...options, seed: 2n ** 40n + 5n },
        position,
      }));
      const { tokens } = await draw(gpu, rows, kernels);
      const { temperature = 1 } = options;
      const top = Math.max(...logits);
      const distances = [...logits].map((l) => (l - top) / temperature);
      const keep = oracle.kept(distances, { ...oracle.PLAIN, ...options, seed: 0n });
      const powers = distances.map((d, i) => (keep[i] ? Math.exp(d) : 0));
      const mass = powers.reduce((a, b) => a + b, 0);
      const counts = new Array<number>(logits.length).fill(0);
      for (const token of tokens) counts[token] = Number(counts[token]) + 1;
      counts.forEach((count, i) => {
        if (!keep[i]) expect(count, `token ${i}`).toBe(0);
      });
      const found = deviations(
        counts,
        powers.map((p) => p / mass),
      );
      expect(found).toBeLessThan(RARE);
      expect(found).toBeGreaterThan(-RARE);
    },
  );
});
