/** What tests of the sampler share: prompts, and log-probs by the way that training takes. */
import {
  type CausalLM,
  chainForest,
  compile,
  type Device,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import type { Generation } from "../../src/rollout/request.ts";

/** Deterministic integers below `below`. */
export function integers(seed: number, count: number, below: number, from = 0): number[] {
  let state = (seed * 2654435761) >>> 0 || 1;
  return Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return from + (state % (below - from));
  });
}

/** Log-probs and entropies of all tokens but the first of each sequence, from logits of one forward, in f64. */
export async function fullForward(
  device: Device,
  { transformer }: CausalLM,
  sequences: readonly { readonly ids: readonly number[]; readonly temperature?: number }[],
): Promise<{ logprobs: number[]; entropies: number[] }[]> {
  const { vocab } = transformer.options;
  const forest = chainForest(sequences.map((s) => s.ids.length));
  const run = compile((ids: Tensor) => transformer.logits(transformer.hidden(ids, forest)), {
    device,
    label: "full forward",
  });
  const ids = Uint32Array.from(sequences.flatMap((s) => [...s.ids]));
  const logits = await (await run(tensor(ids))).read();
  run[Symbol.dispose]();
  let row = 0;
  return sequences.map(({ ids: own, temperature = 1 }) => {
    const logprobs: number[] = [];
    const entropies: number[] = [];
    for (let t = 0; t < own.length; t++, row++) {
      if (t + 1 === own.length) continue;
      const scaled = Array.from(
        logits.subarray(row * vocab, (row + 1) * vocab),
        (x) => x / (temperature || 1),
      );
      const most = scaled.reduce((a, b) => Math.max(a, b));
      const lse = most + Math.log(scaled.reduce((sum, x) => sum + Math.exp(x - most), 0));
      logprobs.push((scaled[own[t + 1] as number] as number) - lse);
      entropies.push(-scaled.reduce((sum, x) => sum + Math.exp(x - lse) * (x - lse), 0));
    }
    return { logprobs, entropies };
  });
}

/** Largest differences of log-probs and entropies from those of a full forward over the same ids. */
export async function mismatch(
  device: Device,
  model: CausalLM,
  generations: readonly Generation[],
  temperatures: readonly number[] = [],
): Promise<{ logprob: number; entropy: number }> {
  const reference = await fullForward(
    device,
    model,
    generations.map((g, i) => ({
      ids: [...g.promptIds, ...g.ids],
      ...(temperatures[i] === undefined ? {} : { temperature: temperatures[i] }),
    })),
  );
  const worst = { logprob: 0, entropy: 0 };
  generations.forEach((g, i) => {
    const from = g.promptIds.length - 1;
    g.ids.forEach((_, t) => {
      const { logprobs, entropies } = reference[i] as (typeof reference)[number];
      const error = (a: number | undefined, b: number | undefined): number =>
        Math.abs((a as number) - (b as number));
      worst.logprob = Math.max(worst.logprob, error(g.logprobs[t], logprobs[from + t]));
      worst.entropy = Math.max(worst.entropy, error(g.entropies[t], entropies[from + t]));
    });
  });
  return worst;
}
