/**
 * `forge-gpu export`: writes what a run has trained as a directory that other programs read.
 */
import { Command, Option } from "commander";
import type { ExportFlags } from "./exporting.ts";
import { wholeNumber } from "./values.ts";

/** The `export` command. */
export function exportCommand(): Command {
  return new Command("export")
    .description("write the model that a run has trained as a Hugging Face or a PEFT directory")
    .argument(
      "<run>",
      "directory of a run, of one of its checkpoints, or of a name for its newest run",
    )
    .requiredOption("--to <directory>", "directory to write, which is made")
    .addOption(
      new Option(
        "--format <format>",
        "hf: a whole model, adapters merged into it; peft: the adapters alone (default: peft where there are adapters, else hf)",
      ).choices(["hf", "peft"]),
    )
    .addOption(
      new Option("--step <number>", "take the checkpoint of this step (default: the latest)")
        .argParser(wholeNumber(0))
        .conflicts("best"),
    )
    .option("--best", "take the checkpoint that was best by evaluation")
    .addOption(
      new Option(
        "--dtype <type>",
        "write weights in it (default: what the base is written in; f32 for a new model)",
      ).choices(["f32", "f16", "bf16"]),
    )
    .option("--base <model>", "where the model lies now that training started from")
    .option("--force", "take the place of such a directory that is there")
    .option("--adapter <name>", "part of the GPU's name (default: hardware before software)")
    .option("--json", "print one JSON document on stdout")
    .addHelpText(
      "after",
      `
Prints the directory. It is there whole, or as it was before.`,
    )
    .action(async (run: string, flags: ExportFlags) => {
      const { exportRun } = await import("./exporting.ts");
      await exportRun(run, flags);
    });
}
