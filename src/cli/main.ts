#!/usr/bin/env node
/**
 * The `forge-gpu` command. Exit codes: 0 done, 1 failed, 2 wrong usage.
 */
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { benchCommand } from "./bench.ts";
import { doctorCommand } from "./doctor.ts";
import { pullCommand } from "./pull.ts";
import { tuningCommand } from "./tuning.ts";

const manifest = createRequire(import.meta.url)("forge-gpu/package.json") as {
  readonly version: string;
  readonly description: string;
};

/** The subcommands, in the order in which the help lists them. Each sets `process.exitCode` when it fails. */
const SUBCOMMANDS = [doctorCommand, pullCommand, benchCommand, tuningCommand];

function forgeGpu(): Command {
  const program = new Command("forge-gpu")
    .description(manifest.description)
    .version(manifest.version)
    .showSuggestionAfterError()
    .showHelpAfterError("(--help lists commands and options)")
    .exitOverride();
  for (const make of SUBCOMMANDS) program.addCommand(inherit(make(), program));
  return program;
}

/** Gives a command, and the commands below it, the settings for wrong usage. */
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent);
  for (const nested of command.commands) inherit(nested, command);
  return command;
}

try {
  await forgeGpu().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
