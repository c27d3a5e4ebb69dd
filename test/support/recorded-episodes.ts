/** Episodes as a run records them, in which all happens that merging has to get right. */
import {
  type RecordedEpisodeOptions,
  type RecordedTurn,
  recordedEpisode,
} from "../../src/bench/tree-load.ts";
import type { RecordedEpisode } from "../../src/train/episode/episodes.ts";
import { randoms } from "./gpu.ts";

/** An episode without what its policy said of its tokens. */
export interface Play extends RecordedEpisodeOptions {
  readonly turns: readonly Omit<RecordedTurn, "logprobs">[];
}

/**
 * Two groups: append-only episodes, one that rewrites its history in the middle, an exact duplicate with other rewards, one
 * that leaves another behind its first answer, answers that are beginnings of others, and episodes that were cut off or take
 * no part. No request has more than 35 tokens.
 */
export function eventfulPlays(vocab: number): Play[] {
  const random = randoms(21);
  const draw = (length: number): number[] => [...random.integers(length, 0, vocab)];
  const reward = (): number => random.next();
  const [task, other] = [draw(7), draw(4)];
  const [a, b, c, d] = [draw(4), draw(3), draw(5), draw(2)];
  const [x, y] = [draw(5), draw(4)];
  const turn = (prompt: number[], response: number[]): Play["turns"][number] => {
    return { prompt, response, reward: reward() };
  };
  const plain = (): Play["turns"] => [
    turn(task, a),
    turn([...task, ...a, ...x], b),
    turn([...task, ...a, ...x, ...b, ...y], c),
  ];
  return [
    { group: 0, sample: 0, turns: plain() },
    { group: 0, sample: 1, turns: plain() },
    {
      ...{ group: 0, sample: 2 },
      turns: [
        turn(task, c),
        turn([...task, ...c, ...y], d),
        // what was said is summed up in two tokens
        turn([...task.slice(0, 4), ...draw(2), ...d, ...x], a),
      ],
    },
    { group: 0, sample: 3, turns: [turn(task, a), turn([...task, ...a, ...y], b.slice(0, 2))] },
    { group: 1, sample: 0, turns: [turn(other, d), turn([...other, ...d, ...x], c)] },
    { group: 1, sample: 1, turns: [turn(other, d.slice(0, 1))], status: "truncated" },
    { group: 1, sample: 2, turns: [turn(other, draw(6))] },
    { group: 1, sample: 3, turns: [turn(other, b)], takesPart: false },
  ];
}

/** The plays with log-probs of each response. */
export function recorded(
  plays: readonly Play[],
  logprobsOf: (play: number, turn: number) => ArrayLike<number>,
): RecordedEpisode[] {
  return plays.map(({ turns, ...options }, p) =>
    recordedEpisode(
      turns.map((turn, t) => ({ ...turn, logprobs: logprobsOf(p, t) })),
      options,
    ),
  );
}
