/**
 * `forge-gpu doctor`: what this machine offers, what is wrong with it, and how to mend that.
 */
import { Command } from "commander";
import { type Check, checkText } from "../doctor/check.ts";
import { machineChecks } from "../doctor/machine.ts";
import { setUp } from "../setup/setup.mjs";

/** The `doctor` command. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("say what this machine offers, what is wrong with it, and how to mend that")
    .option("--json", "print one JSON document on stdout")
    .option("--fix", "run the set-up first: bring what is missing")
    .action(async (options: { readonly json?: true; readonly fix?: true }) => {
      if (options.fix) fix();
      await examine(options.json === true);
    });
}

function fix(): void {
  const { problems } = setUp();
  for (const { what, fix } of problems) process.stderr.write(`${what}\n  fix  ${fix}\n`);
}

/** Width of the names in the table, which is printed as it grows: a driver may end the process. */
const NAME_WIDTH = 40;

async function examine(isJson: boolean): Promise<void> {
  const checks: Check[] = [];
  const note = (found: readonly Check[]): void => {
    checks.push(...found);
    if (isJson) return;
    for (const check of found) process.stdout.write(checkText(check, NAME_WIDTH));
  };
  note(machineChecks());
  const { examineAdapter } = await import("../doctor/examine.ts");
  const report = await examineAdapter(note);
  const ok = checks.every(({ status }) => status !== "fail");
  if (isJson) process.stdout.write(`${JSON.stringify({ ok, checks, ...report }, null, 2)}\n`);
  if (!ok) process.exitCode = 1;
}
