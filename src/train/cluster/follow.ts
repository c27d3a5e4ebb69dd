/** A node that trains with others and keeps nothing of its own: no run directory, no evaluations, no checkpoints. */
import type { Device } from "../../../engine/index.ts";
import type { LoadedConfig } from "../config/load.ts";
import { determinismOf } from "../determinism.ts";
import { openPolicy } from "../policy/policy.ts";
import { playedEnvironmentOf } from "../train.ts";
import { trainingOf } from "../training-of.ts";
import type { ClusterSession } from "./cluster-session.ts";

/** Options of {@link follow}. */
export interface FollowOptions {
  readonly loaded: LoadedConfig;
  readonly device: Device;
  /** With whom to be let in. */
  readonly cluster: ClusterSession & { readonly contact: string };
  readonly signal: AbortSignal;
  /** Told what the node is at, in a few words. */
  readonly onPhase?: (phase: string, detail?: string) => void;
  /** Told of each step that is committed. */
  readonly onStep?: (step: number) => void;
}

/** Trains until the steps of the configuration are made. Errors: those of `train`; the signal's reason. */
export async function follow(options: FollowOptions): Promise<void> {
  const { loaded, device, cluster, signal, onStep } = options;
  const onPhase = (phase: string, detail?: string): void => options.onPhase?.(phase, detail);
  const { config, directory } = loaded;
  const environment = await playedEnvironmentOf(loaded);
  try {
    await using policy = await openPolicy(config.model, {
      ...{ device, from: directory, seed: config.seed },
      isCheckpointed: config.train.isCheckpointed,
    });
    const isDeterministic = determinismOf(config, environment).length === 0;
    await using training = await trainingOf({
      ...{ device, config, policy, environment, directory, isDeterministic, cluster },
    });
    await training.begin(onPhase, signal);
    while (training.steps < config.train.steps) {
      signal.throwIfAborted();
      await training.step(onPhase);
      onStep?.(training.steps);
    }
  } finally {
    await environment.close();
  }
}
