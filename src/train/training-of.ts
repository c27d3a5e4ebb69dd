/** The method of training that a configuration names. */
import { resolve } from "node:path";
import { type Device, ForgeError } from "../../engine/index.ts";
import type { Environment } from "../agent/environment.ts";
import { type ClusterSession, togetherIn } from "./cluster/cluster-session.ts";
import { algorithmOf } from "./config/algorithm-section.ts";
import type { TrainConfig } from "./config/types.ts";
import type { OpenedPolicy } from "./policy/create-policy.ts";
import { RlTraining } from "./rl-training.ts";
import { DpoLearner } from "./supervised/dpo-training.ts";
import { demonstrationRows, SftLearner } from "./supervised/sft-training.ts";
import { SupervisedTraining } from "./supervised/supervised-training.ts";
import {
  heldOutTail,
  listed,
  readDemonstrations,
  readPreferences,
} from "./supervised/training-data.ts";
import type { Training } from "./training.ts";

/** Options of {@link trainingOf}. */
export interface TrainingOptions {
  readonly device: Device;
  readonly config: TrainConfig;
  readonly policy: OpenedPolicy;
  /** Needed by rl, and by sft without data. */
  readonly environment: Environment | undefined;
  /** From which the path of the data is meant. */
  readonly directory: string;
  readonly isDeterministic: boolean;
  readonly cluster?: ClusterSession;
}

/**
 * Makes it, and reads its data.
 *
 * Errors    `config_invalid` for what the method lacks; `file_invalid` for data that cannot be trained on; `out_of_memory`.
 */
export async function trainingOf(options: TrainingOptions): Promise<Training> {
  const { config, environment, cluster } = options;
  if (cluster) checkClustered(config);
  if (config.method === "sft") return sftTraining(options);
  if (config.method === "dpo") return dpoTraining(options);
  if (!environment) throw lacking("an environment", "environment");
  return new RlTraining({
    ...{ ...options, environment, algorithm: algorithmOf(config.algorithm) },
    ...(cluster && { together: togetherIn(cluster) }),
  });
}

async function sftTraining(options: TrainingOptions): Promise<Training> {
  const { environment, ...rest } = options;
  const { config, policy, directory } = rest;
  const common = {
    ...{ ...rest, ...(environment && { environment }) },
    learner: () => new SftLearner(options),
  };
  if (config.data === null) {
    if (!environment) throw lacking("demonstrations", "data");
    const rows = demonstrationRows(environment, policy, config.seed);
    return new SupervisedTraining({ ...common, rows, heldOut: [] });
  }
  const { tokenBudget, heldOut } = config.train;
  const all = await readDemonstrations(resolve(directory, config.data), { policy, tokenBudget });
  const split = heldOutTail(all, heldOut);
  return new SupervisedTraining({ ...common, ...split, rows: listed(split.trained) });
}

async function dpoTraining(options: TrainingOptions): Promise<Training> {
  const { environment, ...rest } = options;
  const { config, policy, directory } = rest;
  if (config.data === null) throw lacking("pairs", "data");
  const { tokenBudget, heldOut } = config.train;
  const all = await readPreferences(resolve(directory, config.data), { policy, tokenBudget });
  const split = heldOutTail(all, heldOut);
  return new SupervisedTraining({
    ...{ ...rest, ...(environment && { environment }) },
    ...{ ...split, rows: listed(split.trained) },
    learner: () => new DpoLearner(options),
  });
}

/** What several nodes cannot do together yet. */
function checkClustered({ method }: TrainConfig): void {
  if (method === "rl") return;
  throw new ForgeError({
    code: "config_invalid",
    what: "the configuration cannot be trained by several nodes.",
    got: `method ${method}`,
    fix: "train on one node",
  });
}

function lacking(what: string, key: string): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: `the method has nothing to learn from: it needs ${what}.`,
    fix: `set \`${key}\``,
  });
}
