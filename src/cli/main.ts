#!/usr/bin/env node
/**
 * The `forge-gpu` command. Exit codes: 0 done, 1 failed, 2 wrong usage, of which a wrong configuration is a part.
 */
import { Command, CommanderError } from "commander";
import { ForgeError } from "../../engine/error.ts";
import { benchCommand } from "./bench.ts";
import { chatCommand } from "./chat.ts";
import { clusterCommand } from "./cluster.ts";
import { dashboardCommand } from "./dashboard.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { evalCommand } from "./eval.ts";
import { exportCommand } from "./export.ts";
import { generateCommand } from "./generate.ts";
import { initCommand } from "./init.ts";
import { logprobsCommand } from "./logprobs.ts";
import { manifest } from "./manifest.ts";
import { nodeCommand } from "./node.ts";
import { pullCommand } from "./pull.ts";
import { trainCommand } from "./train.ts";
import { tuningCommand } from "./tuning.ts";

/** The subcommands, in the order in which the help lists them. Each sets `process.exitCode` when it fails. */
const SUBCOMMANDS = [
  doctorCommand,
  initCommand,
  trainCommand,
  () =>
    nodeCommand(async (...node) => {
      const { runClusterNode } = await import("./cluster-node.ts");
      await runClusterNode(...node);
    }),
  clusterCommand,
  evalCommand,
  dashboardCommand,
  exportCommand,
  pullCommand,
  generateCommand,
  chatCommand,
  logprobsCommand,
  benchCommand,
  tuningCommand,
  demoCommand,
];

function forgeGpu(): Command {
  const program = new Command("forge-gpu")
    .description(manifest.description)
    .version(manifest.version)
    .showSuggestionAfterError()
    .showHelpAfterError("(--help lists commands and options)")
    // `bench --json` and `bench allreduce --json` are two options
    .enablePositionalOptions()
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

// whoever reads only the beginning of what is printed, as `head` does, has got what he wanted
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

try {
  await forgeGpu().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof ForgeError && error.code === "config_invalid" ? 2 : 1;
  }
}
