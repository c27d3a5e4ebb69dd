/** How tokens are chosen: the options that `generate` and `chat` share, and what a model's own files say where they are silent. */
import { type Command, Option } from "commander";
import type { GenerationDefaults, SamplingOptions } from "../../engine/index.ts";
import type { RepetitionStop } from "../rollout/request.ts";
import { numberThat, seed, wholeNumber } from "./values.ts";

/** What {@link samplingArguments} adds to a command. */
export interface SamplingFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly seed: bigint;
  readonly greedy?: true;
  readonly repetitionStop?: RepetitionStop;
}

/** Tokens drawn between two readbacks of a text that somebody reads as it is written. */
export const STREAMED_STEPS = 2;

/** Adds the options. `maxTokens` is what the help says of the most tokens where generation_config.json is silent. */
export function samplingArguments(command: Command, maxTokens: number): Command {
  return command
    .option(
      "--max-tokens <count>",
      `tokens to sample at most (default: ${maxTokens}, and not more than the context has room for)`,
      wholeNumber(1),
    )
    .option(
      "--temperature <t>",
      "what logits are divided by; 0 takes the most probable token (default: 0, and 1 for several samples, or with --top-k, --top-p or --min-p)",
      numberThat((t) => t === 0 || (t >= 1e-4 && t <= 1e4), "0, or a number from 0.0001 to 10000"),
    )
    .addOption(new Option("--greedy", "take the most probable token").conflicts("temperature"))
    .option(
      "--top-k <count>",
      "draw from the most probable tokens only; 0 is off (default: 50)",
      wholeNumber(0),
    )
    .option(
      "--top-p <share>",
      "draw from the fewest tokens that have this probability together; 1 is off (default: 1)",
      numberThat((p) => p > 0 && p <= 1, "above 0, and at most 1"),
    )
    .option(
      "--min-p <share>",
      "draw from tokens with this share of the largest probability; 0 is off (default: 0)",
      numberThat((p) => p >= 0 && p <= 1, "from 0 to 1"),
    )
    .addOption(
      new Option("--seed <number>", "of the random numbers: the same seed, the same text")
        .argParser(seed)
        .default(0n, "0"),
    )
    .option(
      "--repetition-stop <count:p>",
      "end after so many tokens in a row of more than probability p each (default: off)",
      repetitionStop,
    );
}

/** The sentence for a command's help that says where defaults come from. */
export const DEFAULTS_HELP = `
Temperature, top-k, top-p, min-p and the most tokens come from the model's generation_config.json where it has them; the
defaults above stand in for what it leaves out. Without a temperature of its own it means greedy, as in transformers.`;

const repetitionStop = (text: string): RepetitionStop => {
  const [count = "", probability = "", ...rest] = text.split(":");
  return {
    count: wholeNumber(1)(rest.length === 0 ? count : ""),
    probability: numberThat(
      (p) => p >= 0 && p < 1,
      "<count>:<p>, with p from 0 to below 1",
    )(probability),
  };
};

/** The settings of a request. `isVaried` says that several different answers are wanted. */
export function samplingOf(
  flags: SamplingFlags,
  defaults: GenerationDefaults,
  isVaried = false,
): Required<Omit<SamplingOptions, "seed">> {
  const { topK, topP, minP } = flags;
  const isAsked = isVaried || [topK, topP, minP].some((value) => value !== undefined);
  const temperature = flags.greedy ? 0 : flags.temperature;
  return {
    temperature: temperature ?? (defaults.temperature || (isAsked ? 1 : 0)),
    topK: topK ?? defaults.topK,
    topP: topP ?? defaults.topP,
    minP: minP ?? defaults.minP,
  };
}

/** Tokens to sample at most: as asked for; else as the model's files say, as far as there is room. */
export function maxTokensOf(
  { maxTokens }: SamplingFlags,
  { maxNewTokens }: GenerationDefaults,
  fallback: number,
  room: number,
): number {
  return maxTokens ?? Math.max(1, Math.min(maxNewTokens ?? fallback, room));
}
