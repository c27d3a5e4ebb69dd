/** One episode: an agent plays a task against the policy, and its requests are recorded. */

import { ForgeError, type SamplingOptions } from "../../../engine/index.ts";
import { writtenText } from "../../agent/chat/episode-chat.ts";
import type { Environment, EpisodeDetails, EpisodeTrace } from "../../agent/environment.ts";
import type { Policy, PolicyLanguage, PolicyReply, PolicyRequest } from "../../agent/policy.ts";
import type { CompletionInput, SamplingRecord, SessionStatus } from "../../pool/record.ts";
import type { Generation, RepetitionStop } from "../../rollout/request.ts";
import { seedOf, smallSeedOf } from "../seeds.ts";
import { type AnsweredRequest, promptOf } from "./prompt.ts";
import { type EpisodeDesk, nextTask } from "./request-desk.ts";

/** How the policy is sampled in an episode. */
export interface EpisodeSampling {
  /** Default 1. */
  readonly temperature?: number;
  /** Default: off. What they leave out, training does not see as left out. */
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  /** Most tokens of an answer, where neither the request nor the environment says. */
  readonly maxTokens?: number;
  /** Default: off. */
  readonly repetition?: RepetitionStop;
  /** Tokens of a sequence at most: prompt and answer. */
  readonly length: number;
}

/** What an episode needs. */
export interface EpisodeOptions<Task> {
  readonly environment: Environment<Task>;
  readonly task: Task;
  readonly language: PolicyLanguage;
  readonly desk: EpisodeDesk;
  readonly sampling: EpisodeSampling;
  /** The run's seed, and the place of this episode: what is drawn depends on nothing else. */
  readonly seed: number;
  readonly place: readonly number[];
  readonly signal: AbortSignal;
  /** The clock of the records. */
  readonly now: () => number;
  /** Called with each completion before the agent gets it. */
  readonly onCompletion: (completion: CompletionInput) => Promise<void>;
}

/** How an episode went. */
export interface PlayedEpisode<Task> {
  readonly status: SessionStatus;
  /** Undefined when it failed before an answer. */
  readonly trace: EpisodeTrace<Task> | undefined;
  /** What the play attached. */
  readonly details: EpisodeDetails | undefined;
  /** What it failed with. */
  readonly error: unknown;
  /** Prompts and answers as text, special tokens too but for those that end answers, in the order of the requests. */
  readonly transcript: readonly { readonly prompt: string; readonly response: string }[];
}

/**
 * Plays an episode to its end. What goes wrong is its status, never an exception. An agent that does not heed its signal is
 * left to itself: nothing that it does counts any more.
 */
export async function playEpisode<Task>(
  options: EpisodeOptions<Task>,
): Promise<PlayedEpisode<Task>> {
  const { environment, task, signal, desk } = options;
  const policy = new RecordedPolicy(options);
  let [result, error, failed]: [unknown, unknown, boolean] = [undefined, undefined, false];
  let details: EpisodeDetails | undefined;
  const attach = (given: EpisodeDetails): void => {
    details = given;
  };
  const over = new AbortController();
  try {
    const seed = smallSeedOf(options.seed, ...options.place);
    const play = environment.play({ task, policy, seed, signal, attach });
    result = await Promise.race([play, calledOff(signal, desk, over.signal)]);
    if (policy.replies.length === 0) throw unasked();
  } catch (thrown) {
    [error, failed] = [thrown, true];
  } finally {
    over.abort();
  }
  const { replies, transcript } = policy;
  const status = signal.aborted
    ? "cancelled"
    : failed
      ? statusOf(error, replies.length > 0)
      : endOf(replies);
  const text = replies.at(-1)?.text ?? "";
  const trace: EpisodeTrace<Task> | undefined =
    replies.length > 0
      ? { task, replies, text, result, details, isTruncated: status === "truncated" }
      : undefined;
  return { status, trace, details, error, transcript };
}

/** Fulfilled once an episode is called off and none of its requests is out, and its agent had a moment to end by itself. */
async function calledOff(
  signal: AbortSignal,
  desk: EpisodeDesk,
  over: AbortSignal,
): Promise<undefined> {
  if (!signal.aborted)
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true, signal: over });
    });
  await desk.quiet();
  await nextTask();
  return undefined;
}

/**
 * An agent without room for its next request is cut off; one that fails, or has no room for the first, has failed, unless
 * it is the machine's fault.
 */
function statusOf(error: unknown, hasReplies: boolean): SessionStatus {
  if (!(error instanceof ForgeError)) return "agent_error";
  if (error.code === "context_exceeded" && hasReplies) return "truncated";
  const isOurs = ["device_lost", "out_of_memory", "sampler_closed", "queue_full"].includes(
    error.code,
  );
  return isOurs ? "infra_error" : "agent_error";
}

function endOf(replies: readonly PolicyReply[]): SessionStatus {
  const reason = replies.at(-1)?.finishReason;
  return reason === "length" || reason === "repetition" ? "truncated" : "completed";
}

function unasked(): ForgeError {
  return new ForgeError({
    code: "environment_failed",
    what: "the agent has ended without asking the policy anything.",
    fix: "await policy.generate in play",
  });
}

/** The policy of one episode. */
class RecordedPolicy<Task> implements Policy {
  readonly language: PolicyLanguage;
  readonly #options: EpisodeOptions<Task>;
  readonly #replies: (PolicyReply | undefined)[] = [];
  readonly #transcript: { prompt: string; response: string }[] = [];
  /** The last request that was answered: what `append` continues. */
  #last: AnsweredRequest | undefined;

  constructor(options: EpisodeOptions<Task>) {
    this.#options = options;
    this.language = options.language;
  }

  get replies(): readonly PolicyReply[] {
    return this.#replies.filter((reply) => reply !== undefined);
  }

  get transcript(): PlayedEpisode<Task>["transcript"] {
    return this.#transcript.filter((turn) => turn !== undefined);
  }

  /** See `Policy.generate`. */
  async generate(request: PolicyRequest): Promise<PolicyReply> {
    const { desk, sampling, environment, now, signal } = this.#options;
    signal.throwIfAborted();
    const { role = "main", onText } = request;
    const { prompt, parent } = promptOf(request, this.language, this.#last);
    const requestIndex = this.#replies.length;
    this.#replies.push(undefined);
    const room = sampling.length + 1 - prompt.length;
    const asked = request.maxTokens ?? environment.maxTokens ?? sampling.maxTokens ?? room;
    const submittedAt = now();
    const words = {
      prompt,
      // without room `context_exceeded` says so, with its numbers
      ...(room >= 1 && { maxTokens: Math.min(asked, room) }),
      sampling: this.#samplingOf(requestIndex),
      stopStrings: request.stopStrings ?? environment.stopStrings,
      ...(sampling.repetition && { repetition: sampling.repetition }),
      signal: request.signal ? AbortSignal.any([signal, request.signal]) : signal,
      ...(onText && { onToken: ({ text }: { text: string }) => onText(text) }),
    };
    return desk.generate(requestIndex, words, async (generation) => {
      signal.throwIfAborted();
      const times = { submittedAt, finishedAt: now() };
      await this.#options.onCompletion(
        this.#completionOf(generation, { requestIndex, parent, role, ...times }),
      );
      return this.#take(generation, requestIndex, role);
    });
  }

  #samplingOf(requestIndex: number): SamplingOptions {
    const { temperature = 1, topK, topP, minP } = this.#options.sampling;
    return {
      temperature,
      ...(topK !== undefined && { topK }),
      ...(topP !== undefined && { topP }),
      ...(minP !== undefined && { minP }),
      seed: seedOf(this.#options.seed, ...this.#options.place, requestIndex),
    };
  }

  #completionOf(
    generation: Generation,
    rest: Pick<CompletionInput, "requestIndex" | "submittedAt" | "finishedAt" | "parent" | "role">,
  ): CompletionInput {
    return {
      ...rest,
      promptIds: generation.promptIds,
      responseIds: generation.ids,
      behaviorLogprobs: generation.logprobs,
      policyVersions: generation.policyVersions,
      sampling: samplingRecord(this.#options.sampling),
      finishReason: generation.finishReason,
    };
  }

  #take(generation: Generation, requestIndex: number, role: string): PolicyReply {
    const { text, ids, logprobs, finishReason, promptIds } = generation;
    const reply = { requestIndex, role, text, ids, logprobs, finishReason };
    this.#replies[requestIndex] = reply;
    this.#last = { requestIndex, ids: [...promptIds, ...ids] };
    this.#transcript[requestIndex] = {
      prompt: this.language.tokenizer.decode(promptIds),
      response: writtenText(reply, this.language),
    };
    return reply;
  }
}

function samplingRecord({
  temperature = 1,
  topK = 0,
  topP = 1,
  minP = 0,
}: EpisodeSampling): SamplingRecord {
  return { temperature, topK, topP, minP };
}
