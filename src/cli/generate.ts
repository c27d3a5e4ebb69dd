/**
 * `forge-gpu generate`: continues a text, or token ids, with a model.
 */
import { Command, Option } from "commander";
import type { GenerateFlags } from "./generation.ts";
import { modelArguments } from "./model.ts";
import { DEFAULTS_HELP, samplingArguments } from "./sampling.ts";
import { repeated, tokenIds, wholeNumber } from "./values.ts";

/** Tokens of a text whose end nothing else says. */
const MAX_TOKENS = 256;

/** The `generate` command. */
export function generateCommand(): Command {
  const command = new Command("generate")
    .description("continue a text with a model, and print what it writes")
    .option("-p, --prompt <text>", 'text to continue; "-" reads the standard input')
    .addOption(
      new Option("--ids <ids>", "token ids to continue, as in 1,2,3")
        .argParser(tokenIds)
        .conflicts("prompt"),
    )
    .option("--no-bos", "do not put the token that begins a text before the prompt")
    .option("--echo", "print the prompt before the text")
    .option("--samples <count>", "texts to write, with seeds from --seed on", wholeNumber(1), 1);
  return samplingArguments(modelArguments(command), MAX_TOKENS)
    .option("--stop <text>", "end before this text; may be repeated", repeated(String))
    .option(
      "--stop-id <id>",
      "end after this token, as after those that the model's files name; may be repeated",
      repeated(wholeNumber(0)),
    )
    .option("--batch <count>", "texts to write at once, at most", wholeNumber(1), 32)
    .option(
      "--length <tokens>",
      "context of each text: prompt and answer (default: what they need)",
      wholeNumber(1),
    )
    .option("--json", "print one JSON document on stdout")
    .addHelpText(
      "after",
      `${DEFAULTS_HELP}
The text goes to stdout as it is written, figures to stderr. Ctrl-C ends it with what there is, and exit code 130.`,
    )
    .action(async (model: string, flags: GenerateFlags) => {
      const { generate } = await import("./generation.ts");
      await generate(model, flags, MAX_TOKENS);
    });
}
