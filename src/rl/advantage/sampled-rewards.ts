/** Rewards on tokens, where only sampled tokens may have one. */
import { ForgeError } from "../../../engine/error.ts";
import { type Chains, checkChains } from "../chains.ts";
import {
  checkFinite,
  checkMask,
  checkSameLength,
  checkSameShape,
  type Row,
  type Rows,
} from "../rows.ts";

/**
 * Throws unless rewards and mask agree: a reward on a token that was not sampled would be dropped without a word.
 *
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid`
 */
export function checkSampledRewards(what: string, rewards: Rows, mask: Rows): void {
  checkSameShape(what, { rewards, mask });
  checkMask(what, mask);
  checkFinite(`${what}: rewards`, rewards);
  for (const [i, row] of rewards.entries()) {
    for (let t = 0; t < row.length; t++) {
      if (row[t] === 0 || (mask[i] as Row)[t] === 1) continue;
      throw new ForgeError({
        code: "argument_invalid",
        what: `${what}: a token that was not sampled has a reward`,
        got: `${row[t]} in row ${i} at ${t}`,
        why: "credit flows to sampled tokens only, so this reward would be lost",
        fix: "put it on the last sampled token before that one",
      });
    }
  }
}

/**
 * Throws unless chains fit their samples, whose tokens were all sampled: what a tool said between two requests is in neither.
 *
 * @throws ForgeError `shape_mismatch`; `argument_invalid`; `non_finite`
 */
export function checkSampledChains(
  what: string,
  chains: readonly (Chains | undefined)[] | undefined,
  mask: Rows,
): void {
  if (!chains) return;
  checkSameLength(what, { mask, chains });
  for (const [i, own] of chains.entries()) {
    if (!own) continue;
    checkChains(`${what}: chains of row ${i}`, own, mask[i] as Row);
    if (Array.from(mask[i] as Row).every((sampled) => sampled === 1)) continue;
    throw new ForgeError({
      code: "argument_invalid",
      what: `${what}: row ${i} has chains, and tokens that were not sampled`,
      fix: "give the sampled tokens alone, and say by the chains which follow which",
    });
  }
}
