/**
 * The one check behind `npm test`: every step in order, a line each. It goes on after a failure, shows what failed, and
 * ends with the totals of all steps and tests as `N passed, N failed`. Steps that only read the sources run beside the unit
 * tests.
 *
 *   npm run check               all steps
 *   npm run check -- lint unit  the steps whose names start with one of these words
 */
import { spawn } from "node:child_process";
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
 * @returns {Promise<Outcome>}
 */
async function node(script, ...args) {
  const program = spawn(process.execPath, [join(root, script), ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
  let output = "";
  for (const stream of [program.stdout, program.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  return new Promise((resolve) => {
    program.on("error", (error) => resolve({ ok: false, output: `${output}${error}` }));
    program.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

/**
 * Runs one vitest project. One without a single test fails, and so does one that skips without saying so.
 *
 * @param {string} project
 * @returns {Promise<Outcome>}
 */
async function vitest(project) {
  const file = join(scratch, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const vitest = "node_modules/vitest/vitest.mjs";
  const done = await node(vitest, "run", "--project", project, ...reporters);
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    const results = JSON.parse(readFileSync(file, "utf8"));
    counts.passed = results.numPassedTests;
    counts.failed = results.numFailedTests;
    counts.skipped = results.numPendingTests + results.numTodoTests;
  } catch {
    // Without a report nothing ran: the step itself counts as failed.
  }
  return { ...done, ok: done.ok && counts.passed > 0, counts };
}

/** @typedef {readonly [name: string, run: () => Promise<Outcome>]} Step */

/** Unit tests wait most of their time, and the other steps read the sources and nothing else. @type {readonly Step[]} */
const READING = [
  ["unit tests", () => vitest("unit")],
  ["types", () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.json")],
  [
    "types, as built",
    () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--noEmit"),
  ],
  ["types, of pages", () => node("node_modules/typescript/bin/tsc", "-p", "tsconfig.pages.json")],
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
];

/** Steps that want the machine for themselves. @type {readonly Step[]} */
const RUNNING = [
  ["gpu tests", () => vitest("gpu")],
  ["browser tests", () => vitest("browser")],
  ["package", () => node("test/repository/package.mjs")],
  ["docs", () => vitest("docs")],
];

const wanted = process.argv.slice(2);
/** @param {readonly Step[]} steps */
const wantedOf = (steps) =>
  steps.filter(([name]) => wanted.length === 0 || wanted.some((word) => name.startsWith(word)));
const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {{ name: string, output: string }[]} */
const failures = [];

/**
 * Runs steps, `width` at a time, and writes a line for each in their order.
 *
 * @param {readonly Step[]} steps
 * @param {number} width
 */
async function runSteps(steps, width) {
  /** @type {((run: { outcome: Outcome, seconds: number }) => void)[]} */
  const done = [];
  /** @type {Promise<{ outcome: Outcome, seconds: number }>[]} */
  const runs = steps.map((_, i) => new Promise((resolve) => (done[i] = resolve)));
  const waiting = [...steps.entries()];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [i, [, run]] = next;
      const started = performance.now();
      done[i]?.({ outcome: await run(), seconds: (performance.now() - started) / 1000 });
    }
  };
  for (let i = 0; i < width; i++) void lane();
  for (const [i, [name]] of steps.entries()) {
    process.stdout.write(`${name.padEnd(18)}`);
    const run = await runs[i];
    if (run) report(name, run.outcome, run.seconds);
  }
}

/**
 * Writes what a step came to, and counts it.
 *
 * @param {string} name
 * @param {Outcome} outcome
 * @param {number} seconds
 */
function report(name, { ok, output, counts }, seconds) {
  const tests = counts ? `${counts.passed} of ${counts.passed + counts.failed} tests` : "";
  const line = `${ok ? "ok    " : "FAILED"} ${seconds.toFixed(1).padStart(7)} s  ${tests}`;
  process.stdout.write(`${line.trimEnd()}\n`);
  total.passed += (counts?.passed ?? 0) + (ok ? 1 : 0);
  total.failed += (counts?.failed ?? 0) + (ok ? 0 : 1);
  total.skipped += counts?.skipped ?? 0;
  if (!ok) failures.push({ name, output });
}

embedShaders(root);
const steps = [wantedOf(READING), wantedOf(RUNNING)];
await runSteps(steps[0] ?? [], 2);
await runSteps(steps[1] ?? [], 1);
rmSync(scratch, { recursive: true, force: true });

for (const { name, output } of failures) {
  process.stdout.write(`\n──── ${name} ────\n${output.trim()}\n`);
}
const isNone = steps.every((some) => some.length === 0);
if (isNone) process.stdout.write(`no step is called ${wanted.join(" or ")}\n`);
if (total.skipped > 0) process.stdout.write(`\n${total.skipped} skipped\n`);
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed > 0 || isNone ? 1 : 0;
