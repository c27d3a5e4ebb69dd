/** Episodes of a step as lines of rollouts.jsonl: what people look at, with a number for each token. */
import type { Tokenizer } from "../../../engine/index.ts";
import type { TrainedSample } from "../learner/trained-samples.ts";
import type { StepReport } from "../trainer.ts";
import type { RecordedEpisode } from "./episodes.ts";

/**
 * One record for each episode, with a turn for each request: prompt and response as text and ids, and of each sampled token
 * its log-prob at sampling and, where it was trained on, the trainer's, its entropy and its advantage.
 */
export function rolloutRecords(
  { episodes, learned }: Pick<StepReport, "episodes" | "learned">,
  tokenizer: Tokenizer,
): object[] {
  const trained = new Map<string, TrainedSample>();
  for (const sample of learned?.samples ?? [])
    trained.set(`${sample.episode}-${sample.request}`, sample);
  return episodes.map((episode, e) => ({
    group: episode.session.groupId,
    session: episode.session.sessionId,
    task: episode.session.taskId,
    status: episode.session.status,
    takesPart: episode.takesPart,
    isSuccess: episode.isSuccess,
    reward: episode.reward,
    components: episode.components,
    turns: episode.completions.map((_, k) =>
      turnRecord(episode, k, tokenizer, trained.get(`${e}-${k}`)),
    ),
  }));
}

function turnRecord(
  { completions, steps }: RecordedEpisode,
  k: number,
  tokenizer: Tokenizer,
  sample: TrainedSample | undefined,
): object {
  const completion = completions[k] as RecordedEpisode["completions"][number];
  const { promptIds, responseIds, behaviorLogprobs, policyVersions, finishReason, role } =
    completion;
  return {
    ...{ request: completion.requestIndex, role, policyVersions, finishReason },
    reward: steps[k]?.reward ?? null,
    prompt: tokenizer.decode(promptIds),
    response: tokenizer.decode(responseIds),
    promptIds: Array.from(promptIds),
    responseIds: Array.from(responseIds),
    rolloutLogprobs: rounded(behaviorLogprobs),
    ...(sample && {
      trainerLogprobs: rounded(sample.trainerLogprobs),
      entropies: rounded(sample.entropies),
      advantages: rounded(sample.advantages),
    }),
  };
}

/** To what an eye can tell apart: these are the bulk of the file. */
function rounded(values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => Math.round(value * 1e5) / 1e5);
}
