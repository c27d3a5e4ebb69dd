/**
 * `forge-gpu doctor`: what this machine offers, what is wrong with it, and how to mend that.
 */
import { release } from "node:os";
import { Command } from "commander";
import { readRecords, setUp } from "../setup/setup.mjs";

/** One thing that the doctor looked at. */
export interface Check {
  readonly name: string;
  readonly status: "ok" | "warn" | "fail";
  /** What was found. */
  readonly detail: string;
  /** What to do about it; absent when all is well. */
  readonly fix?: string;
}

const FIX_BY_SETUP = "forge-gpu doctor --fix";

/** All checks, in the order in which they are printed. A check never throws: what it cannot find out, it reports. */
const CHECKS: readonly (() => Check)[] = [checkNode, checkVulkan, checkChromium];

/** The `doctor` command. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("say what this machine offers, what is wrong with it, and how to mend that")
    .option("--json", "print one JSON document on stdout")
    .option("--fix", "run the set-up first: bring what is missing")
    .action((options: { readonly json?: true; readonly fix?: true }) => {
      if (options.fix) fix();
      const checks = CHECKS.map((check) => check());
      const ok = checks.every(({ status }) => status !== "fail");
      process.stdout.write(
        options.json ? `${JSON.stringify({ ok, checks }, null, 2)}\n` : table(checks),
      );
      if (!ok) process.exitCode = 1;
    });
}

function fix(): void {
  const { problems } = setUp();
  for (const { what, fix } of problems) process.stderr.write(`${what}\n  fix  ${fix}\n`);
}

function checkNode(): Check {
  const detail = `${process.version} on ${process.platform} ${process.arch}, ${release()}`;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isNewEnough = major > 20 || (major === 20 && minor >= 19);
  if (isNewEnough) return { name: "node", status: "ok", detail };
  return { name: "node", status: "fail", detail, fix: "install Node 20.19 or later" };
}

function checkVulkan(): Check {
  const { vulkan } = readRecords();
  if (vulkan === null) {
    const detail = "no adapter has been looked for since the drivers last changed";
    return { name: "driver", status: "warn", detail, fix: FIX_BY_SETUP };
  }
  const { description, vendor } = vulkan.adapter;
  return { name: "driver", status: "ok", detail: `${description || vendor} (${vulkan.source})` };
}

function checkChromium(): Check {
  const { chromium } = readRecords();
  const detail = chromium
    ? `${chromium.version} (${chromium.path})`
    : "none set up: only the browser tests need it";
  return { name: "browser", status: "ok", detail };
}

/** One line a check, its fix under it. */
function table(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks
    .map(({ name, status, detail, fix }) => {
      const line = `${status.padEnd(4)}  ${name.padEnd(width)}  ${detail}\n`;
      return fix === undefined ? line : `${line}${" ".repeat(width + 8)}fix: ${fix}\n`;
    })
    .join("");
}
