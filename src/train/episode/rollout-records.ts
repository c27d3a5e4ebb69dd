/** Episodes of a step as lines of rollouts.jsonl: what people look at, with a number for each token. */
import { Detokenizer, type Tokenizer } from "../../../engine/index.ts";
import type { TrainedSample } from "../learner/trained-samples.ts";
import type { StepReport } from "../trainer.ts";
import type { RecordedEpisode } from "./episodes.ts";
import { toolCallsOf } from "./session-details.ts";

/**
 * One record for each episode, with its calls of tools, and a turn for each request: which agent asked and what it followed,
 * prompt and response as text and ids, and of each sampled token its text, its log-prob at sampling and, where it was trained on,
 * the trainer's, its entropy and its advantage.
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
    toolCalls: toolCallsOf(episode.session) ?? [],
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
  const { promptIds, responseIds, behaviorLogprobs, policyVersions, finishReason } = completion;
  const { requestIndex: request, role, parent } = completion;
  return {
    ...{ request, role, parent, policyVersions, finishReason },
    reward: steps[k]?.reward ?? null,
    prompt: tokenizer.decode(promptIds),
    response: tokenizer.decode(responseIds),
    promptIds: Array.from(promptIds),
    responseIds: Array.from(responseIds),
    responseTokens: textsOf(responseIds, tokenizer),
    rolloutLogprobs: rounded(behaviorLogprobs),
    ...(sample && {
      trainerLogprobs: rounded(sample.trainerLogprobs),
      entropies: rounded(sample.entropies),
      advantages: rounded(sample.advantages),
    }),
  };
}

/** The text that each token completes: "" within a character. All of them are the response. */
function textsOf(ids: ArrayLike<number>, tokenizer: Tokenizer): string[] {
  const detokenizer = new Detokenizer(tokenizer);
  const texts = Array.from(ids, (id) => detokenizer.push(id));
  const rest = detokenizer.flush();
  if (texts.length > 0) texts[texts.length - 1] += rest;
  return texts;
}

/** To what an eye can tell apart: these are the bulk of the file. */
function rounded(values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => Math.round(value * 1e5) / 1e5);
}
