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
 * The steps, in the order in which {@link LANES} take them: first the cluster's, which wait most of their time, then what takes
 * longest. The package is packed when the pages' tests, which are unit tests and read what is built, are long over.
 *
 * @type {readonly Step[]}
 */
const STEPS = [
  ["cluster tests", () => vitest("cluster")],
  ["gpu tests", () => vitest("gpu")],
  ["unit tests", () => vitest("unit")],
  ["engine tests", () => vitest("engine")],
  ["browser tests", () => vitest("browser")],
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
  ["docs", () => vitest("docs")],
  ["package", () => node("test/repository/package.mjs")],
];

/**
 * Steps at a time. Each leaves a core idle half of the time, as compilers of shaders do, and whoever waits for a process: two
 * cores are never idle with three.
 */
const LANES = 3;

const wanted = process.argv.slice(2);
/** @param {Step} step */
const isWanted = ([name]) => wanted.length === 0 || wanted.some((word) => name.startsWith(word));
const total = { passed: 0, failed: 0, skipped: 0 };
/** @type {{ name: string, output: string }[]} */
const failures = [];

/** Takes one step after the other, as long as there are some, and writes a line for each when it has ended. */
async function runLane() {
  for (let step = waiting.shift(); step; step = waiting.shift()) {
    const [name, run] = step;
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
const waiting = STEPS.filter(isWanted);
const isNone = waiting.length === 0;
await Promise.all(Array.from({ length: LANES }, runLane));
rmSync(scratch, { recursive: true, force: true });

for (const { name, output } of failures) {
  process.stdout.write(`\n──── ${name} ────\n${output.trim()}\n`);
}
if (isNone) process.stdout.write(`no step is called ${wanted.join(" or ")}\n`);
if (total.skipped > 0) process.stdout.write(`\n${total.skipped} skipped\n`);
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed > 0 || isNone ? 1 : 0;
