/** The configurations of the examples, found where they lie: a new one is among them without being named. */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadConfig } from "../../src/train/config/load.ts";

const EXAMPLES = resolve(import.meta.dirname, "../../examples");

/** Their paths below the folder of examples. */
export function exampleConfigs(): string[] {
  return readdirSync(EXAMPLES, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => /^[^/]+\/([^/]+\.yaml|[^/]+\.config\.ts)$/.test(path))
    .sort();
}

/** A model so small, and so few episodes at once, that a step takes a moment. */
const TINY = ["layers=1", "width=32", "heads=2", "kvHeads=2", "mlpWidth=48"];
const FEW = ["batch=16", "groupSize=4", "groupsPerStep=4", "slots=4"];

/** A model from random weights is shown some demonstrations: after 30 steps it calls tools now and then. */
const SHORT_START = ["batch=8", "lr=1e-2", "lossTarget=null"];

/** A run of seconds as an example's configuration describes it. */
interface SmallExample {
  /** Absolute path of the configuration. */
  readonly file: string;
  readonly overrides: readonly string[];
  /** Where its model should be, if it is not there. */
  readonly missing: string | undefined;
}

/** Makes an example small. */
export async function smallExample(path: string, warmStartSteps = 30): Promise<SmallExample> {
  const file = join(EXAMPLES, path);
  const run = ["train.steps=1000", "eval.every=0"];
  const { config } = await loadConfig(file, { overrides: run });
  const of = (section: string, given: readonly string[]): string[] =>
    given.map((setting) => `${section}.${setting}`);
  const overrides = [
    ...run,
    ...of("rollout", FEW),
    ...(config.model.create ? of("model.create", TINY) : []),
    ...(config.train.warmStart
      ? of("train.warmStart", [...SHORT_START, `steps=${warmStartSteps}`])
      : []),
  ];
  const model = config.model.directory === null ? "" : resolve(file, "..", config.model.directory);
  return { file, overrides, missing: model === "" || existsSync(model) ? undefined : model };
}
