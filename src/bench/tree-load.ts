/** Made-up episodes as a run records them, of any shape: what benchmarks and tests of learning learn from. */
import { completionOf, type SessionRecord } from "../pool/record.ts";
import type { RecordedEpisode } from "../train/episode/episodes.ts";
import { generator } from "./numbers.ts";

/** One request of an episode. */
export interface RecordedTurn {
  readonly prompt: ArrayLike<number>;
  readonly response: ArrayLike<number>;
  /** Of the response, when it was sampled. */
  readonly logprobs: ArrayLike<number>;
  readonly reward: number;
}

/** What an episode is beside its turns. */
export interface RecordedEpisodeOptions {
  readonly group: number;
  /** Number of the episode in its group. */
  readonly sample: number;
  /** Default `completed`. */
  readonly status?: SessionRecord["status"];
  /** Default true. */
  readonly takesPart?: boolean;
}

/** The episode of these turns. Errors: `argument_invalid`, `non_finite` for turns that cannot have been recorded. */
export function recordedEpisode(
  turns: readonly RecordedTurn[],
  { group, sample, status = "completed", takesPart = true }: RecordedEpisodeOptions,
): RecordedEpisode {
  const key = { sessionId: `${group}-${sample}`, groupId: group, taskId: `${group}` };
  const completions = turns.map(({ prompt, response, logprobs }, requestIndex) =>
    completionOf(key, {
      requestIndex,
      promptIds: prompt,
      responseIds: response,
      behaviorLogprobs: logprobs,
      policyVersions: [0, 0],
      sampling: { temperature: 1, topK: 0, topP: 1, minP: 0 },
      finishReason: "stop",
      submittedAt: 0,
      finishedAt: 0,
    }),
  );
  const session: SessionRecord = {
    ...{ ...key, status, completions, rewards: [], takesPart },
    ...{ startedAt: 0, endedAt: 0, details: null },
  };
  return {
    session,
    completions,
    group,
    takesPart,
    reward: takesPart ? turns.reduce((sum, { reward }) => sum + reward, 0) : null,
    isSuccess: false,
    components: {},
    steps: completions.map(({ responseIds, behaviorLogprobs }, i) => ({
      tokens: responseIds.length,
      reward: turns[i]?.reward as number,
      rolloutLogprobs: behaviorLogprobs,
    })),
  };
}

/** Tokens of a {@link treeLoad}. */
export interface TreeLoadShape {
  readonly vocab: number;
  /** What all episodes of the group begin with. */
  readonly prompt: number;
  /** What the policy samples in a turn, and what it is told then. */
  readonly action: number;
  readonly observation: number;
  readonly turns: number;
  readonly group: number;
}

/** A group of episodes of one task that only append: the prompt of each request is all that was before it. */
export function treeLoad(shape: TreeLoadShape): RecordedEpisode[] {
  const { vocab, prompt, action, observation, turns, group } = shape;
  const next = generator(1);
  const draw = (length: number): Uint32Array =>
    Uint32Array.from({ length }, () => Math.floor(next() * vocab));
  const task = draw(prompt);
  return Array.from({ length: group }, (_, sample) => {
    const ids = new Uint32Array(prompt + turns * (action + observation));
    ids.set(task);
    ids.set(draw(ids.length - prompt), prompt);
    const recorded = Array.from({ length: turns }, (__, turn): RecordedTurn => {
      const from = prompt + turn * (action + observation);
      return {
        prompt: ids.slice(0, from),
        response: ids.slice(from, from + action),
        logprobs: Float32Array.from({ length: action }, () => -Math.log(vocab) * (0.5 + next())),
        reward: turn === turns - 1 ? next() : 0,
      };
    });
    return recordedEpisode(recorded, { group: 0, sample });
  });
}
