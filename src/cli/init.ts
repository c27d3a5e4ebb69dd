/**
 * `forge-gpu init`: begins a project of one's own.
 */
import { Command } from "commander";
import type { InitFlags } from "./initialising.ts";

/** The `init` command. */
export function initCommand(): Command {
  return new Command("init")
    .description("make a project with an agent, its tools and its reward, ready to train")
    .argument("<directory>", "directory to make; one that is there must be empty")
    .option(
      "--package <spec>",
      "what of forge-gpu the project depends on: a version, or a tarball (default: this version)",
    )
    .option("--no-install", "leave npm install to you")
    .option("--json", "print one JSON document on stdout")
    .action(async (directory: string, flags: InitFlags) => {
      const { initialise } = await import("./initialising.ts");
      await initialise(directory, flags);
    });
}
