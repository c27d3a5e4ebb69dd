/** Options of `ControlPpo`, in CleanRL's words and with the defaults of its ppo.py. */
import { ForgeError } from "../../engine/index.ts";

/** What may be set; each has a default. */
export interface ControlPpoSettings {
  /** Of the weights, the environments, the actions and the shuffling: an integer from 0 to 2^32 − 1. Default 1. */
  readonly seed: number;
  /** Steps of all environments together; the last rollout is the last that fits in. Default 500,000. */
  readonly totalTimesteps: number;
  /** Adam's rate at the start. Default 2.5e-4. */
  readonly learningRate: number;
  /** Steps of each environment in a rollout. Default 128. */
  readonly numSteps: number;
  /** Whether the rate falls to 0 in a straight line, a step down each rollout. Default true. */
  readonly annealLr: boolean;
  /** Whether `clipCoef` falls likewise. Default false. */
  readonly annealClip: boolean;
  /** Discount. Default 0.99. */
  readonly gamma: number;
  /** λ of generalised advantage estimation. Default 0.95. */
  readonly gaeLambda: number;
  /** Parts that a rollout is cut into for each epoch, shuffled. Default 4. */
  readonly numMinibatches: number;
  /** Times that a rollout is gone over. Default 4. */
  readonly updateEpochs: number;
  /** Whether the advantages of each minibatch get mean 0 and standard deviation 1. Default true. */
  readonly normAdv: boolean;
  /** How far the ratio of probabilities may be from 1. Default 0.2. */
  readonly clipCoef: number;
  /** Whether the value may be no further than `clipCoef` from what it was. Default true. */
  readonly clipVloss: boolean;
  /** Weight of the entropy bonus. Default 0.01. */
  readonly entCoef: number;
  /** Weight of the value loss, which has a factor ½ of its own. Default 0.5. */
  readonly vfCoef: number;
  /** Global norm that gradients are clipped to. Default 0.5. */
  readonly maxGradNorm: number;
  /** No further epoch once the last minibatch's approximate KL is over this. Default: none, and no readback per epoch. */
  readonly targetKl: number | undefined;
  /**
   * Whether an episode that was cut off is worth what the critic expects from there, as in Stable-Baselines3. Without it
   * the episode counts as terminated, as in CleanRL. Default true.
   */
  readonly bootstrapTruncated: boolean;
  /** Widths of the hidden layers of actor and critic. Default [64, 64]. */
  readonly hiddenSizes: readonly number[];
}

const PPO_DEFAULTS: ControlPpoSettings = {
  seed: 1,
  totalTimesteps: 500_000,
  learningRate: 2.5e-4,
  numSteps: 128,
  annealLr: true,
  annealClip: false,
  gamma: 0.99,
  gaeLambda: 0.95,
  numMinibatches: 4,
  updateEpochs: 4,
  normAdv: true,
  clipCoef: 0.2,
  clipVloss: true,
  entCoef: 0.01,
  vfCoef: 0.5,
  maxGradNorm: 0.5,
  targetKl: undefined,
  bootstrapTruncated: true,
  hiddenSizes: [64, 64],
};

/**
 * Settings with the defaults filled in.
 *
 * Errors    `argument_invalid` for what is out of range, or does not fit the number of environments
 */
export function ppoSettings(
  given: Partial<ControlPpoSettings>,
  numEnvs: number,
): ControlPpoSettings {
  const settings = { ...PPO_DEFAULTS, ...defined(given) };
  const { numSteps, numMinibatches, totalTimesteps } = settings;
  const batch = numSteps * numEnvs;
  for (const name of ["numSteps", "numMinibatches", "updateEpochs", "totalTimesteps"] as const) {
    check(name, settings[name], isCount(settings[name], 1), "a whole number from 1 on");
  }
  for (const name of ["gamma", "gaeLambda"] as const) {
    check(name, settings[name], settings[name] >= 0 && settings[name] <= 1, "from 0 to 1");
  }
  for (const name of ["learningRate", "entCoef", "vfCoef"] as const) {
    check(name, settings[name], isFrom0(settings[name]), "0 or more");
  }
  for (const name of ["clipCoef", "maxGradNorm"] as const) {
    check(name, settings[name], isFrom0(settings[name]) && settings[name] > 0, "above 0");
  }
  const { seed, targetKl = 1, hiddenSizes } = settings;
  check("seed", seed, isCount(seed, 0) && seed < 2 ** 32, "a whole number from 0 to 2^32 − 1");
  check("targetKl", targetKl, targetKl > 0, "above 0");
  const areWidths = hiddenSizes.every((width) => isCount(width, 1));
  check("hiddenSizes", hiddenSizes.join(" "), areWidths, "whole numbers from 1 on");
  check(
    "totalTimesteps",
    totalTimesteps,
    totalTimesteps >= batch,
    `at least one rollout: ${numSteps} steps of ${numEnvs} environments`,
  );
  check(
    "numMinibatches",
    numMinibatches,
    batch % numMinibatches === 0,
    `a divisor of the steps of a rollout, ${numSteps} · ${numEnvs}`,
  );
  return settings;
}

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function isFrom0(value: number): boolean {
  return Number.isFinite(value) && value >= 0;
}

function check(name: string, got: number | string, isValid: boolean, range: string): void {
  if (isValid) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `ControlPpo: ${name} is outside of its range.`,
    got: String(got),
    why: `${name} is ${range}`,
    fix: "correct it, or leave it out",
  });
}
