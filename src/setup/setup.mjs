/**
 * The set-up: makes a fresh clone, or an installed package, ready to run.
 *
 *   node src/setup/setup.mjs [--browser] [--nats] [--user] [--quiet]
 *
 * It installs the locked packages, builds, finds or brings a WebGPU adapter and, with --browser, a Chromium; with --nats a NATS
 * server, without which it is ready all the same: the tests that need one are skipped. It uses Node's own modules only, asks
 * nothing, says what it does, and has nothing to do the second time.
 */
import { parseArgs } from "node:util";
import { build, isBuilt } from "./build.mjs";
import { knownChromium, prepareChromium } from "./chromium.mjs";
import { withLock } from "./lock.mjs";
import { knownNats, prepareNats } from "./nats.mjs";
import { installPackages, packagesAreInstalled } from "./packages.mjs";
import { isMain, isSourceTree, projectRoot } from "./paths.mjs";
import { SetUpError } from "./run.mjs";
import { knownVulkan, prepareVulkan } from "./vulkan.mjs";

/** @typedef {{ isDone: () => boolean, run: () => unknown, isNeededByTheRest?: boolean, isOptional?: boolean }} Step */

/** @type {typeof import("./setup.mjs").setUp} */
export function setUp({ browser = false, nats = false, user = false, say = sayToStderr } = {}) {
  const root = projectRoot();
  const sources = isSourceTree(root);
  /** @type {Step[]} */
  const steps = [{ isDone: () => knownVulkan() !== null, run: () => prepareVulkan({ say, user }) }];
  if (sources) {
    steps.unshift(
      {
        isDone: () => packagesAreInstalled(root),
        run: () => installPackages(root, say),
        isNeededByTheRest: true,
      },
      { isDone: () => isBuilt(root), run: () => build(root, say) },
    );
  }
  if (browser) {
    steps.push({
      isDone: () => knownChromium() !== null,
      run: () => prepareChromium({ say, user }),
    });
  }
  if (nats) {
    steps.push({
      isDone: () => knownNats() !== null,
      run: () => prepareNats({ say, user }),
      isOptional: true,
    });
  }

  /** @type {{ what: string, fix: string }[]} */
  const problems = [];
  for (const step of steps) {
    if (step.isDone()) continue;
    try {
      withLock(say, () => step.isDone() || step.run());
    } catch (error) {
      if (!(error instanceof SetUpError)) throw error;
      if (step.isOptional) {
        say(`going on without: ${error.message}\n  fix  ${error.fix}`);
        continue;
      }
      problems.push({ what: error.message, fix: error.fix });
      if (step.isNeededByTheRest) break;
    }
  }
  return { ok: problems.length === 0, problems, ...readRecords() };
}

/** @type {typeof import("./setup.mjs").readRecords} */
export function readRecords() {
  return { vulkan: knownVulkan(), chromium: knownChromium(), nats: knownNats() };
}

/** @param {string} line */
function sayToStderr(line) {
  process.stderr.write(`set-up: ${line}\n`);
}

const OPTIONS = /** @type {const} */ ({
  browser: { type: "boolean", default: false },
  nats: { type: "boolean", default: false },
  user: { type: "boolean", default: false },
  quiet: { type: "boolean", default: false },
});

/** @returns {number} the exit code: 0 ready, 1 not ready, 2 wrong usage */
function main() {
  /** @type {{ browser: boolean, nats: boolean, user: boolean, quiet: boolean }} */
  let options;
  try {
    options = parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 2;
  }
  const { ok, problems, vulkan, chromium, nats } = setUp(options);
  for (const { what, fix } of problems) {
    process.stderr.write(`set-up: ${what}\n  fix  ${fix}\n`);
  }
  if (ok && !options.quiet) {
    const adapter = vulkan?.adapter.description || vulkan?.adapter.vendor;
    sayToStderr(`ready: ${adapter} (${vulkan?.source})`);
    if (options.browser) sayToStderr(`ready: ${chromium?.version} (${chromium?.path})`);
    if (options.nats && nats) sayToStderr(`ready: ${nats.version} (${nats.path})`);
  }
  return ok ? 0 : 1;
}

if (isMain(import.meta.url)) process.exitCode = main();
