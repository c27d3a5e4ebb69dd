import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { cruise, type ICruiseOptions, type ICruiseResult } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import configuration from "../../.dependency-cruiser.mjs";

const repository = resolve(import.meta.dirname, "../..");

/** One broken import per rule: in which file, and of what. */
const SEEDS: Readonly<Record<string, readonly [file: string, specifier: string]>> = {
  "no-cycles": ["cluster/a.ts", "./b.ts"],
  "no-unresolvable": ["src/missing.ts", "./not-there.ts"],
  "no-development-packages-in-the-product": ["cluster/dev.ts", "vitest"],
  "product-knows-no-tests-or-examples": ["cluster/tested.ts", "../test/probe.ts"],
  "engine-error-imports-nothing": ["engine/error.ts", "./gpu/leaf.ts"],
  "engine-gpu-imports-only-what-is-below": ["engine/gpu/up.ts", "../tensor/leaf.ts"],
  "engine-tensor-imports-only-what-is-below": ["engine/tensor/up.ts", "../graph/leaf.ts"],
  "engine-graph-imports-only-what-is-below": ["engine/graph/up.ts", "../ops/leaf.ts"],
  "engine-ops-imports-only-what-is-below": ["engine/ops/up.ts", "../nn/leaf.ts"],
  "engine-nn-imports-only-what-is-below": ["engine/nn/up.ts", "../optim/leaf.ts"],
  "engine-optim-imports-only-what-is-below": ["engine/optim/up.ts", "../models/leaf.ts"],
  "engine-models-imports-only-what-is-below": ["engine/models/up.ts", "../index.ts"],
  "engine-stands-alone": ["engine/ops/ring.ts", "../../cluster/index.ts"],
  "engine-knows-no-node": ["engine/ops/files.ts", "node:fs"],
  "cluster-stands-alone": ["cluster/models.ts", "../engine/index.ts"],
  "src-uses-the-engine-s-front-door": ["src/train/deep.ts", "../../engine/ops/leaf.ts"],
  "src-uses-the-cluster-s-front-door": ["src/train/ring.ts", "../../cluster/leaf.ts"],
  "agents-need-no-gpu": ["src/agent/gpu.ts", "../../engine/index.ts"],
  "rl-needs-no-gpu-outside-its-losses": ["src/rl/advantage/gpu.ts", "../../../engine/index.ts"],
  "nobody-imports-the-command-line": ["src/train/command.ts", "../cli/leaf.ts"],
  "the-dashboard-s-page-brings-what-it-needs": ["src/dashboard/page/deep.tsx", "../server/leaf.ts"],
  "nobody-imports-the-dashboard-s-page": ["src/dashboard/server/up.ts", "../page/leaf.ts"],
  "the-dashboard-reads-runs-and-nothing-else": [
    "src/dashboard/server/trains.ts",
    "../../train/leaf.ts",
  ],
  "set-up-uses-node-only": ["src/setup/early.ts", "commander"],
  "examples-use-the-public-names": ["examples/99-deep.ts", "../engine/index.ts"],
};

/** Imports that must stay allowed. */
const ALLOWED: readonly (readonly [file: string, specifier: string])[] = [
  ["engine/gpu/fine.ts", "../error.ts"],
  ["engine/models/fine.ts", "../nn/leaf.ts"],
  ["engine/optim/fine.ts", "../ops/leaf.ts"],
  ["src/rl/loss/fine.ts", "../../../engine/index.ts"],
  ["src/rl/reward/fine.ts", "../../../engine/error.ts"],
  ["src/cli/fine.ts", "./leaf.ts"],
  ["src/dashboard/page/fine.tsx", "preact"],
  ["src/dashboard/page/also-fine.tsx", "../api.ts"],
  ["src/dashboard/server/fine.ts", "../../train/run/leaf.ts"],
  ["src/setup/fine.ts", "node:fs"],
  ["examples/98-fine.ts", "forge-gpu/engine"],
];

const LEAVES = [
  ...["gpu", "tensor", "graph", "ops", "nn", "optim", "models"].map((l) => `engine/${l}/leaf.ts`),
  ...["engine/index.ts", "cluster/index.ts", "cluster/leaf.ts", "src/index.ts", "src/cli/leaf.ts"],
  ...["src/dashboard/api.ts", "src/dashboard/page/leaf.ts", "src/dashboard/server/leaf.ts"],
  ...["src/train/leaf.ts", "src/train/run/leaf.ts"],
  "test/probe.ts",
];

describe("the import rules", () => {
  const tree = mkdtempSync(join(tmpdir(), "forge-gpu-imports-"));
  let violations: readonly { rule: string; from: string }[] = [];

  beforeAll(async () => {
    const write = (file: string, text: string): void => {
      mkdirSync(dirname(join(tree, file)), { recursive: true });
      writeFileSync(join(tree, file), text);
    };
    for (const file of LEAVES) write(file, "export const leaf = 1;\n");
    for (const [file, specifier] of [...Object.values(SEEDS), ...ALLOWED]) {
      write(file, `import * as seed from "${specifier}";\nexport const value = seed;\n`);
    }
    write("cluster/b.ts", 'import * as seed from "./a.ts";\nexport const value = seed;\n');
    for (const file of ["package.json", "tsconfig.json", "node_modules"]) {
      symlinkSync(join(repository, file), join(tree, file));
    }

    const { forbidden, options } = configuration;
    const { output } = await cruise(
      ["engine", "cluster", "src", "examples"],
      { ...options, ruleSet: { forbidden }, validate: true, baseDir: tree } as ICruiseOptions,
      undefined,
      { tsConfig: extractTSConfig(join(repository, "tsconfig.json")) },
    );
    violations = (output as ICruiseResult).summary.violations.map((violation) => ({
      rule: violation.rule.name,
      from: violation.from,
    }));
  });

  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  it("have a seeded violation each", () => {
    expect(Object.keys(SEEDS).sort()).toEqual(configuration.forbidden.map((r) => r.name).sort());
  });

  it.each(Object.entries(SEEDS))("%s bites", (rule, [from]) => {
    expect(violations).toContainEqual({ rule, from });
  });

  it.each(ALLOWED)("%s may import %s", (file) => {
    expect(violations.filter(({ from }) => from === file)).toEqual([]);
  });
});
