/** The algorithms, by name. */
import { ForgeError } from "../../../engine/error.ts";
import type { Algorithm } from "./algorithm.ts";
import { type CispoOptions, cispo } from "./cispo.ts";
import { type DapoOptions, dapo } from "./dapo.ts";
import { type DrGrpoOptions, drGrpo } from "./dr-grpo.ts";
import { type ForgeOptions, forge } from "./forge.ts";
import { type GrpoOptions, grpo } from "./grpo.ts";
import { type GspoOptions, gspo } from "./gspo.ts";
import { type PpoOptions, ppo } from "./ppo.ts";
import { type ReinforcePlusPlusOptions, reinforcePlusPlus } from "./reinforce-plus-plus.ts";
import {
  type ReinforcePlusPlusBaselineOptions,
  reinforcePlusPlusBaseline,
} from "./reinforce-plus-plus-baseline.ts";
import { type RlooOptions, rloo } from "./rloo.ts";
import { type SapoOptions, sapo } from "./sapo.ts";

/** Options of each algorithm. */
export interface OptionsOf {
  readonly ppo: PpoOptions;
  readonly grpo: GrpoOptions;
  readonly dr_grpo: DrGrpoOptions;
  readonly rloo: RlooOptions;
  readonly "reinforce++": ReinforcePlusPlusOptions;
  readonly "reinforce++-baseline": ReinforcePlusPlusBaselineOptions;
  readonly dapo: DapoOptions;
  readonly gspo: GspoOptions;
  readonly cispo: CispoOptions;
  readonly sapo: SapoOptions;
  readonly forge: ForgeOptions;
}

/** Name of an algorithm. */
export type AlgorithmName = keyof OptionsOf;

/** What makes each algorithm from its options. */
export const ALGORITHMS: {
  readonly [N in AlgorithmName]: (options?: OptionsOf[N]) => Algorithm;
} = {
  ppo,
  grpo,
  dr_grpo: drGrpo,
  rloo,
  "reinforce++": reinforcePlusPlus,
  "reinforce++-baseline": reinforcePlusPlusBaseline,
  dapo,
  gspo,
  cispo,
  sapo,
  forge,
};

/**
 * The algorithm of a name, as `algorithm("grpo", { epochs: 2 })`.
 *
 * @throws ForgeError `argument_invalid` for a name that is not in {@link ALGORITHMS}, and as `defineAlgorithm`
 */
export function algorithm<N extends AlgorithmName>(name: N, options?: OptionsOf[N]): Algorithm {
  if (Object.hasOwn(ALGORITHMS, name)) return ALGORITHMS[name](options);
  throw new ForgeError({
    code: "argument_invalid",
    what: "there is no algorithm of this name",
    got: String(name),
    fix: `take one of ${Object.keys(ALGORITHMS).join(", ")}, or defineAlgorithm`,
  });
}
