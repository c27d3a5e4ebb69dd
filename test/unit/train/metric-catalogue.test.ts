import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { METRICS, metricEntry, metricsDocument } from "../../../src/train/run/metric-catalogue.ts";

const documentation = resolve(import.meta.dirname, "../../../docs/metrics.md");

it("docs/metrics.md is what the catalogue makes; `vitest -u` writes it anew", async () => {
  await expect(metricsDocument()).toMatchFileSnapshot(documentation);
});

it("a metric has one line of meaning, a unit, and a name of two parts", () => {
  for (const [name, { meaning, unit }] of Object.entries(METRICS)) {
    expect(name).toMatch(/^[a-z]+(\/[a-z0-9_<>]+)+$/);
    expect(meaning).toMatch(/^[^\n|]{5,}[^.\n|]$/);
    expect(unit).not.toBe("");
  }
});

it("every metric that the sources name is explained", () => {
  const groups = new Set(Object.keys(METRICS).map((name) => name.slice(0, name.indexOf("/"))));
  const literal = new RegExp(`["\`]((?:${[...groups].join("|")})/[^"\`\\s]+)["\`]`, "g");
  const sources = readdirSync(resolve(import.meta.dirname, "../../../src"), {
    recursive: true,
    withFileTypes: true,
  }).filter(({ name }) => name.endsWith(".ts") && name !== "metric-catalogue.ts");
  const named = sources.flatMap(({ parentPath, name }) =>
    Array.from(
      readFileSync(join(parentPath, name), "utf8").matchAll(literal),
      ([, metric = ""]) => metric,
    ),
  );
  expect(named.length).toBeGreaterThan(50);
  const isExplained = (name: string): boolean => {
    // what a template fills in is a number or a word
    const filled = name.replace(/\$\{[^}]*\}$/, "7");
    // a star stands for several, of which there is one or more
    const regular = filled.replace(/\$\{[^}]*\}/g, "[a-z]+").replaceAll("*", ".*");
    const pattern = new RegExp(`^${regular}$`);
    return (
      metricEntry(filled) !== undefined || Object.keys(METRICS).some((key) => pattern.test(key))
    );
  };
  expect(named.filter((name) => !isExplained(name))).toEqual([]);
});

it("labels are told apart", () => {
  const labels = Object.values(METRICS).flatMap(({ label }) => label ?? []);
  expect(new Set(labels).size).toBe(labels.length);
});

it.each([
  ["lag/3", "lag/<n>"],
  ["eval/pass_at_8", "eval/pass_at_<k>"],
  ["eval/pass_at_1", "eval/pass_at_1"],
  ["eval/reward/format", "eval/reward/<component>"],
  ["reward/format", "reward/<component>"],
  ["reward/mean", "reward/mean"],
])("%s is explained by %s", (name, entry) => {
  expect(metricEntry(name)).toBe(METRICS[entry]);
});

it.each(["custom/thing", "lag/other", "toString"])("%s is the user's own", (name) => {
  expect(metricEntry(name)).toBeUndefined();
});
