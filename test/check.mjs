/**
 * The one check behind `npm test`: every step, and a line for each that has ended. It goes on after a failure, shows what
 * failed, and ends with the totals of all steps and tests as `N passed, N failed`.
 *
 *   npm run check               all steps
 *   npm run check -- lint unit  the steps whose names start with one of these words
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
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

/** A TypeScript project. @param {readonly string[]} args */
const tsc = (...args) => node("node_modules/typescript/bin/tsc", "-p", ...args);

/**
 * What runs beside each other: two at a time, since any of them leaves a core idle half of the time, as compilers of shaders
 * do, and whoever waits for a process. The package is packed when the pages' tests, which read what is built, are long over.
 *
 * @type {readonly (readonly Step[])[]}
 */
const LANES = [
  [
    ["engine tests", () => vitest("engine")],
    ["types", () => tsc("tsconfig.json")],
    ["types, as built", () => tsc("tsconfig.build.json", "--noEmit")],
    ["types, of pages", () => tsc("tsconfig.pages.json")],
    [
      "lint and format",
      () => node("node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."),
    ],
    [
      "import rules",
      () =>
        node(
          "node_modules/dependency-cruiser/bin/dependency-cruise.mjs",
          ...["--config", ".dependency-cruiser.mjs"],
          ...["engine", "cluster", "src", "examples"],
        ),
    ],
    ["dead code", () => node("node_modules/knip/bin/knip.js")],
    ["browser tests", () => vitest("browser")],
    ["package", () => node("test/repository/package.mjs")],
    ["docs", () => vitest("docs")],
    ["cluster tests", () => vitest("cluster")],
  ],
  [
    ["unit tests", () => vitest("unit")],
    ["gpu tests", () => vitest("gpu")],
  ],
];

const wanted = process.argv.slice(2);
/** @param {Step} step */
const isWanted = ([name]) => wanted.length === 0 || wanted.some((word) => name.startsWith(word));
const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {{ name: string, output: string }[]} */
const failures = [];

/**
 * Runs steps one after the other, and writes a line for each when it has ended.
 *
 * @param {readonly Step[]} steps
 */
async function runLane(steps) {
  for (const [name, run] of steps) {
    const started = performance.now();
    report(name, await run(), (performance.now() - started) / 1000);
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
  process.stdout.write(`${name.padEnd(18)}${line.trimEnd()}\n`);
  total.passed += (counts?.passed ?? 0) + (ok ? 1 : 0);
  total.failed += (counts?.failed ?? 0) + (ok ? 0 : 1);
  total.skipped += counts?.skipped ?? 0;
  if (!ok) failures.push({ name, output });
}

embedShaders(root);
const lanes = LANES.map((steps) => steps.filter(isWanted));
await Promise.all(lanes.map(runLane));
rmSync(scratch, { recursive: true, force: true });

for (const { name, output } of failures) {
  process.stdout.write(`\n──── ${name} ────\n${output.trim()}\n`);
}
const isNone = lanes.flat().length === 0;
if (isNone) process.stdout.write(`no step is called ${wanted.join(" or ")}\n`);
if (total.skipped > 0) process.stdout.write(`\n${total.skipped} skipped\n`);
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed > 0 || isNone ? 1 : 0;
