/**
 * Oracle of `shaders/cross-entropy.wgsl`: gradient of weighted label log-probs to the logits.
 */
import { type LabelledLogits, lmHeadBackward } from "./lm-head.ts";

/** Gradient of `Σ_r dlogprob[r] · logSoftmax(logits[r])[labels[r]]`; rows without a label get zeros. */
export function crossEntropyBackward(
  input: LabelledLogits,
  dlogprob: ArrayLike<number>,
): Float64Array {
  const none = new Float64Array(input.labels.length);
  return lmHeadBackward(
    input,
    { dlogprob, dlse: none, dentropy: none },
    { softcap: 0, temperature: 1 },
  );
}
