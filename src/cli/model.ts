/** The model that a command is about, as the command line names it. */
import { type Command, Option } from "commander";
import type { WeightDType } from "../../engine/index.ts";

/** What {@link modelArguments} adds to a command. */
export interface ModelFlags {
  readonly dtype: WeightDType;
  readonly adapter?: string;
}

/** Adds the model's argument and the options that say how it is opened. */
export function modelArguments(command: Command): Command {
  return command
    .argument("<model>", "directory in the Hugging Face layout, or org/name of a pulled model")
    .addOption(
      new Option("--dtype <type>", "hold weight matrices in it")
        .choices(["f32", "f16", "bf16"])
        .default("f32"),
    )
    .option("--adapter <name>", "part of the GPU's name (default: hardware before software)");
}
