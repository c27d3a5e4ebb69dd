/** The status word: what kernels report of data that only the GPU has seen. */
import { ForgeError } from "../error.ts";

/** Set in words of {@link fault} that tell of logits, and of offsets; the rest is 1 + the row, sequence, or position of an id. */
const LOGITS = 0x8000_0000;
const OFFSETS = 0x4000_0000;

/**
 * The error that a status word stands for. Kernels raise the word to the largest of what they find, so of several faults
 * one is told.
 *
 * @param running What was submitted last.
 */
export function fault(word: number, running: string): ForgeError {
  if (word >= LOGITS) {
    return new ForgeError({
      code: "non_finite",
      what: `sample: a logit is NaN or infinite (in ${running} or earlier).`,
      got: `row ${word - LOGITS - 1} of the logits`,
      why: "no token can be drawn from a distribution that is not finite",
      fix: "check the model's weights for NaN; mask tokens with -1e30, not -Infinity",
    });
  }
  if (word >= OFFSETS) {
    return new ForgeError({
      code: "index_out_of_range",
      what: `policyLoss: offsets are wrong (in ${running} or earlier).`,
      got: `sequence ${word - OFFSETS - 1}`,
      why: "offsets never fall, and none is larger than the number of tokens",
      fix: "make them of the lengths of the sequences: 0, then their running sums",
    });
  }
  return new ForgeError({
    code: "index_out_of_range",
    what: `embedding: an id is outside of the table (in ${running} or earlier).`,
    got: `position ${word - 1} of the ids`,
    why: "ids run from 0 to the number of rows of the table",
    fix: "check the tokenizer against the model's vocabulary",
  });
}
