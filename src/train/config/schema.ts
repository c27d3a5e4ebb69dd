/** The schema of a configuration: what its sections are, in the order in which they are printed. */
import { z } from "zod";
import type { Environment } from "../../agent/environment.ts";
import { algorithmSection } from "./algorithm-section.ts";
import { choice, key, nullable, taking, text, whole } from "./fields.ts";
import { modelSection } from "./model-section.ts";
import { rewardSection, rolloutSection } from "./rollout-section.ts";
import {
  checkpointSection,
  evalSection,
  optimizerSection,
  runSection,
  trainSection,
} from "./run-sections.ts";
import type { TrainConfig } from "./types.ts";

/** Whether it is what `defineEnvironment` gives. */
export function isEnvironment(value: unknown): value is Environment {
  const { train, play, rewards } = Object(value) as Partial<Environment>;
  return typeof train === "function" && typeof play === "function" && typeof rewards === "object";
}

const environment = taking(
  "path of a module that exports an environment",
  z.union([text(), z.custom<Environment>(isEnvironment)]),
);

/** Checks a configuration and fills in what is left out. `meta` of its schemas: see `fields.ts`. */
export const schema: z.ZodType<TrainConfig> = z.strictObject({
  name: key(text("name of a folder"), "run", "Name of the run; left out: that of the file.").refine(
    (name) => !/[/\\\0]|^\.+$/.test(name),
  ),
  seed: key(whole(0), 0, "Of all that is drawn: weights, tasks, tokens."),
  method: key(
    choice(["rl", "sft", "dpo"]),
    "rl",
    "What is learned from: rewards, demonstrations or pairs.",
  ),
  environment: nullable(
    environment,
    "Module with an environment as its export `environment` or its default, from the folder of the configuration; in TypeScript also the environment itself.",
  ),
  data: nullable(
    text("path"),
    "JSON Lines from the folder of the configuration: prompt and response for sft, prompt, chosen and rejected for dpo; null: the environment's demonstrations.",
  ),
  model: modelSection,
  algorithm: algorithmSection,
  reward: rewardSection,
  rollout: rolloutSection,
  optimizer: optimizerSection,
  train: trainSection,
  eval: evalSection,
  checkpoint: checkpointSection,
  run: runSection,
});
