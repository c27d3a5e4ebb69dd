/** Rewards on tokens, where only sampled tokens may have one. */
import { ForgeError } from "../../../engine/error.ts";
import { checkFinite, checkMask, checkSameShape, type Row, type Rows } from "../rows.ts";

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
