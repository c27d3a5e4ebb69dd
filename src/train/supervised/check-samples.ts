/** What a model can be trained on; checked before anything is computed. */
import { type CausalLM, ForgeError } from "../../../engine/index.ts";

/**
 * Throws unless all ids are in the vocabulary, and no sample is longer than the model was made for.
 *
 * @throws ForgeError `index_out_of_range`, `context_exceeded`
 */
export function checkSamples(
  what: string,
  { options: { vocab }, maxLength }: CausalLM,
  samples: readonly { readonly ids: Uint32Array }[],
  nameOf: (index: number) => string = (index) => `samples[${index}]`,
): void {
  samples.forEach(({ ids }, i) => {
    if (ids.length > maxLength) {
      throw new ForgeError({
        code: "context_exceeded",
        what: `${what}: ${nameOf(i)} is longer than the model's context.`,
        got: `${ids.length} tokens`,
        why: `the model was made for ${maxLength}`,
        fix: "leave it out, or cut it",
      });
    }
    const bad = ids.findIndex((id) => id >= vocab);
    if (bad < 0) return;
    throw new ForgeError({
      code: "index_out_of_range",
      what: `${what}: an id of ${nameOf(i)} is beyond the vocabulary.`,
      got: `${ids[bad]} at ${bad}`,
      why: `ids are integers from 0 to ${vocab - 1}`,
      fix: "encode with the model's own tokenizer",
    });
  });
}

/** How many tokens a sample is trained on. */
export function trainedCount({
  trained,
}: {
  readonly trained: readonly (readonly [number, number])[];
}): number {
  return trained.reduce((sum, [from, to]) => sum + to - from, 0);
}
