/** What can go wrong in a collective here, and is no chunk's fault. */
import { ClusterError } from "../error.ts";
import type { ElementRange } from "./segments.ts";

/** Code: `non_finite`. */
export function nonFinite(what: string, { from, to }: ElementRange): ClusterError {
  return new ClusterError({
    code: "non_finite",
    what: `collective: ${what} is not finite.`,
    got: `NaN or infinity among the elements ${from} to ${to}`,
    why: "it would spoil the step of all",
    fix: "skip the step, or scale the loss down",
  });
}

/** Code: `argument_invalid`. */
export function notNow(what: string, why: string): ClusterError {
  return new ClusterError({
    code: "argument_invalid",
    what: `collective: ${what} is not to be had now.`,
    why,
    fix: "make a collective for each attempt",
  });
}
