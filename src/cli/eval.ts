/**
 * `forge-gpu eval`: plays an environment's held-out tasks with a policy, and says how often it succeeds.
 */
import { Command, Option } from "commander";
import { CONFIG_ARGUMENT, configPath } from "./config-path.ts";
import type { EvalFlags } from "./evaluating.ts";
import { numberThat, repeated, wholeNumber } from "./values.ts";

/** The `eval` command. */
export function evalCommand(): Command {
  return new Command("eval")
    .description("play held-out tasks: success rate with its interval, pass@k, tasks, transcripts")
    .argument("[config]", CONFIG_ARGUMENT)
    .addOption(
      new Option(
        "--run [directory]",
        "take the policy of a run's latest checkpoint (default: the newest run of this name)",
      ).conflicts(["checkpoint", "model"]),
    )
    .addOption(
      new Option("--checkpoint <directory>", "take the policy of this checkpoint").conflicts(
        "model",
      ),
    )
    .option("--model <model>", "take this model (default: the one that the configuration says)")
    .option(
      "--tasks <count>",
      "tasks to play, from the first (default: eval.tasks)",
      wholeNumber(1),
    )
    .option("--samples <count>", "plays of each task (default: eval.samples)", wholeNumber(1))
    .option(
      "--temperature <t>",
      "what logits are divided by; 0 takes the most probable token (default: eval.temperature)",
      numberThat((t) => t === 0 || (t >= 1e-4 && t <= 1e4), "0, or a number from 0.0001 to 10000"),
    )
    .option("--seed <number>", "of what is drawn (default: seed)", wholeNumber(0))
    .option(
      "--set <key=value>",
      "change a key of the configuration, as in rollout.length=512; may be repeated",
      repeated(String),
    )
    .option(
      "--transcripts <count>",
      "show so many successes, and as many failures",
      wholeNumber(0),
      0,
    )
    .option("--all", "print every task, not the worst ten alone")
    .option("--adapter <name>", "part of the GPU's name (default: hardware before software)")
    .option("--json", "print one JSON document on stdout")
    .addHelpText(
      "after",
      `
With the configuration and a checkpoint of a run it plays what that run played after the same step, and finds the same.
Several samples of a task want a temperature above 0. Ctrl-C ends it without a result (exit code 130).`,
    )
    .action(async (config: string | undefined, flags: EvalFlags) => {
      const { evaluateConfig } = await import("./evaluating.ts");
      await evaluateConfig(configPath(config), flags);
    });
}
