import { resolve } from "node:path";
import { expect, it } from "vitest";
import { METRICS, metricEntry, metricsDocument } from "../../../src/train/run/metric-catalogue.ts";

const documentation = resolve(import.meta.dirname, "../../../docs/metrics.md");

it("docs/metrics.md is what the catalogue makes; `vitest -u` writes it anew", async () => {
  await expect(metricsDocument()).toMatchFileSnapshot(documentation);
});

it("a metric has one line of meaning, a unit, and a name of two parts", () => {
  for (const [name, { meaning, unit }] of Object.entries(METRICS)) {
    expect(name).toMatch(/^[a-z]+\/[a-zA-Z0-9_<>]+$/);
    expect(meaning).toMatch(/^[^\n|]{5,}[^.\n|]$/);
    expect(unit).not.toBe("");
  }
});

it("labels are told apart", () => {
  const labels = Object.values(METRICS).flatMap(({ label }) => label ?? []);
  expect(new Set(labels).size).toBe(labels.length);
});

it.each([
  ["lag/3", "lag/<n>"],
  ["eval/pass_at_8", "eval/pass_at_<k>"],
  ["eval/pass_at_1", "eval/pass_at_1"],
  ["reward/format", "reward/<component>"],
  ["reward/mean", "reward/mean"],
])("%s is explained by %s", (name, entry) => {
  expect(metricEntry(name)).toBe(METRICS[entry]);
});

it.each(["custom/thing", "lag/other", "toString"])("%s is the user's own", (name) => {
  expect(metricEntry(name)).toBeUndefined();
});
