/** Samples as requests of multi-turn episodes leave them. */
import type { ForestSample } from "../../src/pool/forest-batch.ts";
import { randoms } from "./gpu.ts";

/** Sizes of {@link episodes}. */
export interface EpisodeShape {
  readonly seed: number;
  readonly vocab: number;
  /** Tokens of the task that all episodes begin with. */
  readonly prompt: number;
  readonly turns: number;
  /** Tokens that the policy draws in a turn, and that come back. */
  readonly action: number;
  readonly observation: number;
  readonly group: number;
}

/**
 * Requests of a group of append-only episodes, a sample for each turn: what the policy was fed with what it drew, of which
 * the last `action` tokens are trained. Samples of an episode are views of the same memory.
 */
export function episodes(shape: EpisodeShape): ForestSample[] {
  const { seed, vocab, prompt, turns, action, observation, group } = shape;
  const random = randoms(seed);
  const task = random.integers(prompt, 0, vocab);
  return Array.from({ length: group }, (_, trajectory) => {
    const ids = new Uint32Array(prompt + turns * action + (turns - 1) * observation);
    ids.set(task);
    ids.set(random.integers(ids.length - prompt, 0, vocab), prompt);
    return Array.from({ length: turns }, (_, turn): ForestSample => {
      const from = prompt + turn * (action + observation);
      return { ids: ids.slice(0, from + action), trained: [[from, from + action]], trajectory };
    });
  }).flat();
}

/**
 * The same with what else happens: a history rewritten in the middle, an exact duplicate, a response that is another one's
 * beginning, one that is empty, and a sample with two trained ranges.
 */
export function eventfulEpisodes(shape: EpisodeShape): ForestSample[] {
  const plain = episodes(shape);
  const last = plain.at(-1) as ForestSample;
  const [from, to] = last.trained[0] as [number, number];
  const rewritten = last.ids.slice();
  rewritten[shape.prompt] = ((rewritten[shape.prompt] as number) + 1) % shape.vocab;
  const first = plain[0] as ForestSample;
  return [
    ...plain,
    { ...last, ids: rewritten },
    { ...first, ids: first.ids.slice() },
    { ids: last.ids.slice(0, to - 1), trained: [[from, to - 1]], trajectory: "cut short" },
    { ids: last.ids.slice(0, from), trained: [], trajectory: "empty" },
    {
      ids: last.ids.slice(),
      trained: [
        [1, 3],
        [from, to],
      ],
      trajectory: "two ranges",
    },
  ];
}

/** A value for each trained token of each sample. */
export function valuesFor(
  samples: readonly ForestSample[],
  draw: (sample: number) => number,
): Float64Array[] {
  return samples.map(({ trained }, i) =>
    Float64Array.from({ length: trained.reduce((n, [from, to]) => n + to - from, 0) }, () =>
      draw(i),
    ),
  );
}
