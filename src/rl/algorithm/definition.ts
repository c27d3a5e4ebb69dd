/** Makes algorithms whole, and holds them to what they must be. */
import { ForgeError } from "../../../engine/error.ts";
import { checkAggregation } from "../aggregation.ts";
import { checkCorrection } from "../importance/index.ts";
import { overlongPenalty } from "../reward/overlong.ts";
import { finite, within } from "../rows.ts";
import type { Algorithm } from "./algorithm.ts";
import { clippingOf } from "./clipping.ts";

/** What an algorithm may be without. */
type Extra = "importance" | "kl" | "critic" | "dynamicSampling" | "overlong" | "memory";

/** Any part of an algorithm, in place of its own. `null`: without that part. */
export type AlgorithmOptions = {
  readonly [K in keyof Algorithm]?: K extends Extra ? Algorithm[K] | null : Algorithm[K];
};

/** What an algorithm cannot be without; the rest has defaults. */
export type AlgorithmDefinition = AlgorithmOptions & Pick<Algorithm, "name" | "advantage" | "loss">;

/** The defaults of all algorithms. */
const DEFAULTS = {
  aggregation: { mode: "token-mean" },
  per: "episode",
  old: "rollout",
  entropyCoefficient: 0,
  epochs: 1,
  minibatches: 1,
} satisfies AlgorithmOptions;

const KEYS: Readonly<Record<keyof Algorithm, true>> = {
  ...{ name: true, advantage: true, loss: true, aggregation: true, per: true, old: true },
  ...{ importance: true, kl: true, entropyCoefficient: true, critic: true, epochs: true },
  ...{ minibatches: true, dynamicSampling: true, overlong: true, isClipped: true, memory: true },
};

/**
 * Completes and checks an algorithm. Defaults: mean over tokens, an episode is a sequence, ratios to the log-probabilities
 * that came with the tokens, no bonus for entropy, one pass and one update a step, and what counts as clipped follows from
 * the form of the loss.
 *
 * To change one, spread it: `defineAlgorithm({ ...grpo(), name: "mine", advantage: mine })`. With another loss, pass
 * `isClipped` too, or pass both to the factory, as in `grpo({ loss })`, where it follows from that loss.
 *
 * @param options in place of what the definition says; `undefined` leaves that
 * @throws ForgeError `argument_invalid` for an unknown option, a number out of range, a divergence in the reward that only
 *   has a meaning in the loss, or an importance correction where the ratio is to the rollout's policy; `non_finite`
 */
export function defineAlgorithm(
  definition: AlgorithmDefinition,
  options: AlgorithmOptions = {},
): Algorithm {
  const parts = Object.entries({ ...DEFAULTS, ...definition });
  const changes = Object.entries(options).filter(([, value]) => value !== undefined);
  const given = Object.fromEntries(
    [...new Map([...parts, ...changes])].filter(([, value]) => value !== null),
  ) as unknown as Algorithm;
  for (const key of Object.keys(given)) checkKey(given.name, key);
  const algorithm = { ...given, isClipped: given.isClipped ?? clippingOf(given.loss) };
  checkAlgorithm(algorithm);
  return algorithm;
}

function checkAlgorithm(algorithm: Algorithm): void {
  const { name, loss, aggregation, critic, dynamicSampling, overlong } = algorithm;
  if (typeof loss !== "function") checkNumbers(`${name}: loss`, loss);
  checkAggregation(aggregation);
  oneOf(`${name}: per`, algorithm.per, ["request", "episode"]);
  oneOf(`${name}: old`, algorithm.old, ["rollout", "trainer"]);
  finite(`${name}: entropyCoefficient`, algorithm.entropyCoefficient);
  count(`${name}: epochs`, algorithm.epochs, 1);
  count(`${name}: minibatches`, algorithm.minibatches, 1);
  if (dynamicSampling) count(`${name}: refillCap`, dynamicSampling.refillCap, 0);
  if (critic) {
    checkNumbers(`${name}: critic`, critic);
    oneOf(`${name}: critic model`, critic.model, ["head", "separate"]);
  }
  if (overlong !== undefined && overlong !== "mask") overlongPenalty(0, overlong);
  checkKl(algorithm);
  checkImportance(algorithm);
}

function checkKl({ name, kl }: Algorithm): void {
  if (!kl) return;
  finite(`${name}: kl coefficient`, kl.coefficient);
  oneOf(`${name}: kl in`, kl.in, ["loss", "reward"]);
  const [plain, straight] = [
    ["k1", "k2", "k3", "abs"],
    ["k1+", "k2+", "k3+", "abs+", "unbiased-k3"],
  ];
  oneOf(
    `${name}: kind of kl in the ${kl.in}`,
    kl.kind,
    kl.in === "loss" ? [...plain, ...straight] : plain,
  );
}

function checkImportance({ name, old, importance }: Algorithm): void {
  if (!importance) return;
  checkCorrection(importance);
  if (old === "trainer") return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${name}: an importance correction without the trainer's log-probabilities`,
    got: `importance ${importance.kind}, old ${old}`,
    why: "the ratio is to the rollout's policy already, so the correction would count twice",
    fix: 'set old to "trainer", or leave the correction out',
  });
}

function checkKey(name: string, key: string): void {
  if (Object.hasOwn(KEYS, key)) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${name}: there is no such option`,
    got: key,
    fix: "docs/algorithms.md lists the options of every algorithm",
  });
}

/** All numbers of a record are 0 or more; Infinity is no bound. */
function checkNumbers(what: string, record: object): void {
  for (const [key, value] of Object.entries(record)) {
    if (typeof value === "number") within(`${what} ${key}`, value, 0, Infinity);
    else if (typeof value === "object" && value) checkNumbers(`${what} ${key}`, value);
  }
}

function count(what: string, value: number, least: number): void {
  within(what, Number.isInteger(value) ? value : Number.NaN, least, Number.MAX_SAFE_INTEGER);
}

function oneOf(what: string, value: string, names: readonly string[]): void {
  if (names.includes(value)) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${what} is none of the names that there are`,
    got: String(value),
    fix: `give one of ${names.join(", ")}`,
  });
}
