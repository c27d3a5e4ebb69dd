/** Random samples of forests: few different tokens, so that prefixes, duplicates and branches are the rule. */
import fc from "fast-check";
import type { ForestSample, TokenRange } from "../../src/pool/forest-batch.ts";

const sample = fc
  .array(fc.tuple(fc.constantFrom(0, 7, 0xffffffff), fc.boolean()), { minLength: 1, maxLength: 9 })
  .map((tokens): ForestSample => {
    const ids = Uint32Array.from(tokens, ([id]) => id);
    return { ids, trained: rangesOf(tokens.map(([, isTrained], t) => isTrained && t > 0)) };
  });

/** Up to 24 samples, ranges of trained tokens as long as can be. */
export const forestSamples: fc.Arbitrary<ForestSample[]> = fc.array(sample, { maxLength: 24 });

function rangesOf(mask: readonly boolean[]): TokenRange[] {
  const starts = [...mask.keys()].filter((t) => mask[t] && !mask[t - 1]);
  return starts.map((from) => {
    const past = mask.indexOf(false, from);
    return [from, past < 0 ? mask.length : past];
  });
}
