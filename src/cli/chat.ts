/**
 * `forge-gpu chat`: a conversation with a model on the terminal, or with the lines of a pipe.
 */
import { Command, InvalidArgumentError } from "commander";
import type { ChatFlags } from "./chat-loop.ts";
import { modelArguments } from "./model.ts";
import { DEFAULTS_HELP, samplingArguments } from "./sampling.ts";
import { repeated, wholeNumber } from "./values.ts";

/** Tokens of an answer whose end nothing else says. */
const MAX_TOKENS = 1024;

/** The `chat` command. */
export function chatCommand(): Command {
  const command = new Command("chat")
    .description("talk with a model by its chat template")
    .option("--system <text>", "a system message before the conversation");
  return samplingArguments(modelArguments(command), MAX_TOKENS)
    .option(
      "--length <tokens>",
      "tokens of the whole conversation; not more than the model was made for",
      wholeNumber(1),
      4096,
    )
    .option(
      "--variable <name=value>",
      "a variable of the chat template, as in enable_thinking=false; may be repeated",
      repeated(variable),
    )
    .option("--verbose", "say on stderr what each turn took")
    .addHelpText(
      "after",
      `${DEFAULTS_HELP}
Without a terminal each line of the standard input is a message, and its answer a line of the output.
Ctrl-C stops an answer; twice it quits, as Ctrl-D does. /help lists the commands of a conversation.`,
    )
    .action(async (model: string, flags: ChatFlags) => {
      const { chat } = await import("./chat-loop.ts");
      await chat(model, flags, MAX_TOKENS);
    });
}

/** `name=value`; a value that is JSON is what it says, any other is text. */
function variable(text: string): readonly [name: string, value: unknown] {
  const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new InvalidArgumentError("It must be <name>=<value>.");
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}
