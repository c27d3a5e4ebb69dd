/**
 * `forge-gpu logprobs`: how probable a model finds given text, or given token ids, token by token.
 */
import { Command, Option } from "commander";
import { modelArguments } from "./model.ts";
import type { LogprobsFlags } from "./scores.ts";
import { numberThat, tokenIds, wholeNumber } from "./values.ts";

/** The `logprobs` command. */
export function logprobsCommand(): Command {
  const command = new Command("logprobs")
    .description("score text or token ids: log-probability and entropy of each token, in nats")
    .addOption(new Option("--text <text>", "text to score").conflicts(["ids", "file"]))
    .addOption(
      new Option("--ids <ids>", "token ids to score, as in 1,2,3")
        .argParser(tokenIds)
        .conflicts(["text", "file"]),
    )
    .addOption(
      new Option(
        "--file <path>",
        'score each line, a text; or, where the first line is a JSON object, {"text": …} or {"ids": […]}; "-" reads the standard input',
      ).conflicts(["text", "ids"]),
    )
    .option("--no-bos", "do not put the token that begins a text before texts")
    .option("--top <count>", "name the most probable tokens of each place too", wholeNumber(0), 0)
    .option(
      "--temperature <t>",
      "what logits are divided by",
      numberThat((t) => t > 0, "a number above 0"),
      1,
    )
    .option(
      "--batch-tokens <count>",
      "tokens to compute at once, of several lines",
      wholeNumber(1),
      2048,
    )
    .option("--json", "print one JSON document on stdout");
  return modelArguments(command).action(async (model: string, flags: LogprobsFlags) => {
    if (flags.text === undefined && !flags.ids && flags.file === undefined)
      command.error("error: there is nothing to score: give --text, --ids or --file", {
        exitCode: 2,
      });
    const { logprobs } = await import("./scores.ts");
    await logprobs(model, flags);
  });
}
