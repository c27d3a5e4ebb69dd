/**
 * The one check behind `npm test`: every step in order, a line each. It goes on after a failure, shows what failed, and
 * ends with the totals of all steps and tests as `N passed, N failed`.
 *
 *   npm run check               all steps
 *   npm run check -- lint unit  the steps whose names start with one of these words
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { embedShaders } from "../src/setup/embed-shaders.mjs";

const root = resolve(import.meta.dirname, "..");
const scratch = mkdtempSync(join(tmpdir(), "forge-gpu-check-"));

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/** @typedef {{ ok: boolean, output: string, counts?: Counts }} Outcome */

/**
 * Runs a program of the repository with Node.
 *
 * @param {string} script
 * @param {readonly string[]} args
 * @returns {Outcome}
 */
function node(script, ...args) {
  const done = spawnSync(process.execPath, [join(root, script), ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
  return { ok: done.status === 0, output: `${done.stdout}${done.stderr}${done.error ?? ""}` };
}

/**
 * Runs one vitest project. One without a single test fails, and so does one that skips without saying so.
 *
 * @param {string} project
 * @returns {Outcome}
 */
function vitest(project) {
  const report = join(scratch, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const done = node("node_modules/vitest/vitest.mjs", "run", "--project", project, ...reporters);
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    const results = JSON.parse(readFileSync(report, "utf8"));
    counts.passed = results.numPassedTests;
    counts.failed = results.numFailedTests;
    counts.skipped = results.numPendingTests + results.numTodoTests;
  } catch {
    // Without a report nothing ran: the step itself counts as failed.
  }
  return { ...done, ok: done.ok && counts.passed > 0, counts };
}

/** @type {readonly (readonly [name: string, run: () => Outcome])[]} */
const STEPS = [
  ["types", () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.json")],
  [
    "types, as built",
    () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--noEmit"),
  ],
  [
    "lint and format",
    () => node("node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."),
  ],
  [
    "import rules",
    () =>
      node(
        "node_modules/dependency-cruiser/bin/dependency-cruise.mjs",
        "--config",
        ".dependency-cruiser.mjs",
        ...["engine", "cluster", "src", "examples"].filter((folder) =>
          existsSync(join(root, folder)),
        ),
      ),
  ],
  ["dead code", () => node("node_modules/knip/bin/knip.js")],
  ["unit tests", () => vitest("unit")],
  ["gpu tests", () => vitest("gpu")],
  ["browser tests", () => vitest("browser")],
  ["package", () => node("test/repository/package.mjs")],
  ["docs", () => vitest("docs")],
];

const wanted = process.argv.slice(2);
const steps = STEPS.filter(
  ([name]) => wanted.length === 0 || wanted.some((word) => name.startsWith(word)),
);
const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {{ name: string, output: string }[]} */
const failures = [];

embedShaders(root);
for (const [name, run] of steps) {
  process.stdout.write(`${name.padEnd(18)}`);
  const started = performance.now();
  const { ok, output, counts } = run();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const tests = counts ? `${counts.passed} of ${counts.passed + counts.failed} tests` : "";
  process.stdout.write(`${ok ? "ok    " : "FAILED"} ${seconds.padStart(7)} s  ${tests}`.trimEnd());
  process.stdout.write("\n");

  total.passed += counts?.passed ?? 0;
  total.failed += counts?.failed ?? 0;
  total.skipped += counts?.skipped ?? 0;
  if (ok) total.passed += 1;
  else {
    total.failed += 1;
    failures.push({ name, output });
  }
}
rmSync(scratch, { recursive: true, force: true });

for (const { name, output } of failures) {
  process.stdout.write(`\n──── ${name} ────\n${output.trim()}\n`);
}
if (steps.length === 0) process.stdout.write(`no step is called ${wanted.join(" or ")}\n`);
if (total.skipped > 0) process.stdout.write(`\n${total.skipped} skipped\n`);
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed > 0 || steps.length === 0 ? 1 : 0;
