/** Whether a run can be repeated bit for bit, and if not, why. */
import type { Environment } from "../agent/environment.ts";
import type { TrainConfig } from "./config/types.ts";

/** Why a run is not deterministic: a sentence each; none when it is. */
export function determinismOf(
  { rollout }: Pick<TrainConfig, "rollout">,
  environment: Pick<Environment, "name" | "isPure">,
): string[] {
  if (rollout.deterministic === true) return [];
  if (rollout.deterministic === false) return ["rollout.deterministic is false"];
  if (environment.isPure) return [];
  return [
    `environment "${environment.name}" is not declared pure (isPure): when its episodes end depends on the machine, and with it what is trained on together`,
  ];
}
