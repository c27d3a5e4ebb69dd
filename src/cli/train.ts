/**
 * `forge-gpu train`: trains a policy as a configuration says.
 */
import { Command, Option } from "commander";
import { WIRE_TYPES } from "../../cluster/index.ts";
import { CONFIG_ARGUMENT, configPath } from "./config-path.ts";
import type { TrainFlags } from "./training.ts";
import { repeated, wholeNumber } from "./values.ts";

/** The `train` command. */
export function trainCommand(): Command {
  return new Command("train")
    .description("train a policy as a configuration says, in a run directory that can be resumed")
    .argument("[config]", CONFIG_ARGUMENT)
    .option(
      "--set <key=value>",
      "change a key of the configuration, as in optimizer.lr=1e-4; may be repeated",
      repeated(String),
    )
    .option(
      "--resume [directory]",
      "go on with a run, or from one of its checkpoints (default: the newest run of this name)",
    )
    .option("--print-config", "print the whole configuration with every default, and stop")
    .option(
      "--nodes <count>",
      "train in so many processes on this machine, which share each step",
      wholeNumber(1),
    )
    .addOption(
      new Option(
        "--sync <way>",
        "with --nodes: who updates what: zero1, ddp, or diloco:H, by which nodes meet at every H-th step",
      ).default("zero1"),
    )
    .option("--outer-lr <rate>", "with diloco: of the step that nodes make together (default: 1)")
    .option(
      "--outer-momentum <share>",
      "with diloco: Nesterov's, of that step (default: 0, the mean)",
    )
    .addOption(
      new Option("--wire <type>", "with --nodes: gradients as they travel")
        .choices(WIRE_TYPES)
        .default("f32"),
    )
    .option("--adapter <name>", "part of the GPU's name (default: hardware before software)")
    .option("-q, --quiet", "show warnings and nothing else")
    .option("--json", "print one JSON document on stdout at the end")
    .addHelpText(
      "after",
      `
Ctrl-C finishes the step under way, saves it, and says how to go on (exit code 130); a second one ends the process.
Curves: metrics.jsonl in the run directory, and event files for TensorBoard.`,
    )
    .action(async (config: string | undefined, flags: TrainFlags) => {
      const { runTrain } = await import("./training.ts");
      await runTrain(configPath(config), flags);
    });
}
