/**
 * Training of a configuration, with every token that is sampled and every token that is trained written down where it passes:
 * at the sampler's door, and in the arrays that the loss is computed from.
 */
import { expect } from "vitest";
import type { Tensor } from "../../engine/index.ts";
import type { Environment } from "../../src/agent/environment.ts";
import type { Algorithm } from "../../src/rl/algorithm/algorithm.ts";
import type { Generation } from "../../src/rollout/request.ts";
import { Sampler } from "../../src/rollout/sampler.ts";
import type { Session } from "../../src/rollout/session.ts";
import { algorithmOf } from "../../src/train/config/algorithm-section.ts";
import { type LoadedConfig, loadConfig } from "../../src/train/config/load.ts";
import { determinismOf } from "../../src/train/determinism.ts";
import type { RecordedEpisode } from "../../src/train/episode/episodes.ts";
import { GradientStep } from "../../src/train/learner/gradient-step.ts";
import type { BatchTensors } from "../../src/train/learner/padded-batch.ts";
import { ROWS } from "../../src/train/learner/trained-samples.ts";
import { openPolicy } from "../../src/train/policy/policy.ts";
import { RlTraining } from "../../src/train/rl-training.ts";
import { environmentOf } from "../../src/train/train.ts";
import { type StepReport, Trainer } from "../../src/train/trainer.ts";
import { device } from "./gpu.ts";

/** What was compared. */
export interface Exactness {
  /** That were trained on, and the most of one episode. */
  readonly requests: number;
  readonly mostRequests: number;
  /** Sampled ones, each trained once. */
  readonly tokens: number;
  readonly episodes: number;
  /** Prompts that begin with the ids of an earlier request of their episode, answer and all. */
  readonly continued: number;
  /** Whether whoever asks is an agent that chats, and demonstrates how. */
  readonly chats: boolean;
}

/** Options of {@link checkTokens}. */
export interface CheckTokensOptions {
  /** `key=value`, as of `--set`. */
  readonly overrides?: readonly string[];
  /** Steps are made until so many were trained on. */
  readonly requests: number;
}

/**
 * Trains as a configuration says until enough requests were trained on. After each step, what the loss was computed from must
 * be what the sampler was fed and drew: of each episode that takes part every sampled token once, behind the very ids that it
 * was drawn behind, with the log-prob that it was drawn with; and nothing else.
 */
export async function checkTokens(
  file: string,
  { overrides = [], requests }: CheckTokensOptions,
): Promise<Exactness> {
  const loaded = await loadConfig(file, { overrides });
  const environment = await environmentOf(loaded);
  if (!environment) throw new Error(`${file} has no environment`);
  try {
    return await tapped(loaded, environment, requests);
  } finally {
    await environment.close();
  }
}

async function tapped(
  { config, directory }: LoadedConfig,
  environment: Environment,
  requests: number,
): Promise<Exactness> {
  const gpu = await device();
  const { seed } = config;
  const algorithm = algorithmOf(config.algorithm);
  await using policy = await openPolicy(config.model, { device: gpu, from: directory, seed });
  await using training = new RlTraining({
    ...{ device: gpu, config, policy, environment, algorithm },
    isDeterministic: determinismOf(config, environment).length === 0,
  });
  await training.begin(() => {}, new AbortController().signal);
  using tap = new Tap(algorithm);
  const chats = environment.demonstrate !== undefined;
  const total = { requests: 0, mostRequests: 0, tokens: 0, episodes: 0, continued: 0, chats };
  while (total.requests < requests) {
    await training.step(() => {});
    await tap.compare(total);
  }
  return total;
}

/** Sums of {@link Exactness}. */
type Total = { -readonly [K in keyof Exactness]: Exactness[K] };

/** Writes down what the sampler draws and what losses are computed from, of everything in this process, until it is disposed of. */
class Tap implements Disposable {
  /** By the session of the episode, in the order in which they ended; those that were compared are gone. */
  readonly #drawn = new Map<Session | undefined, Generation[]>();
  readonly #batches: Promise<HostBatch>[] = [];
  readonly #reports: StepReport[] = [];
  readonly #restore: readonly (() => void)[];
  readonly #algorithm: Algorithm;

  constructor(algorithm: Algorithm) {
    const tap = this;
    this.#algorithm = algorithm;
    this.#restore = [
      around(Sampler.prototype, "generate", (generate) => {
        return async function (this: Sampler, request, session) {
          const generation = await generate.call(this, request, session);
          // before anybody else can lay hands on it
          const own = tap.#drawn.get(session) ?? [];
          tap.#drawn.set(session, [...own, structuredClone(generation)]);
          return generation;
        };
      }),
      around(
        GradientStep.prototype as GradientStep<[BatchTensors, Tensor], Tensor>,
        "add",
        (add) => {
          return function (this: GradientStep<[BatchTensors, Tensor], Tensor>, batch, rows) {
            tap.#batches.push(hostBatch(batch, rows));
            return add.call(this, batch, rows);
          };
        },
      ),
      around(Trainer.prototype, "step", (step) => {
        return async function (this: Trainer<unknown>, ...given) {
          const report = await step.apply(this, given);
          tap.#reports.push(report);
          return report;
        };
      }),
    ];
  }

  /** Compares what came since the last time, and adds it up. */
  async compare(total: Total): Promise<void> {
    const { old, epochs } = this.#algorithm;
    // an algorithm may compare with what the trainer says instead of what the sampler said
    const isCompared = old !== "trainer";
    const batches = await Promise.all(this.#batches.splice(0));
    const trained = batches.flatMap((batch) => trainedTokens(batch, isCompared));
    const reports = this.#reports.splice(0);
    const drawn: Generation[] = [];
    for (const episode of reports.flatMap(({ episodes }) => episodes)) {
      if (!episode.takesPart) continue;
      const own = this.#drawnBy(episode);
      drawn.push(...own);
      total.episodes++;
      total.requests += own.length;
      total.mostRequests = Math.max(total.mostRequests, own.length);
      total.continued += own.filter((request, i) => continues(request, own.slice(0, i))).length;
    }
    total.tokens += trained.length / epochs;
    const tokens = drawn.flatMap((generation) => drawnTokens(generation, isCompared));
    // once in each pass
    expect(trained.sort()).toEqual(tokens.flatMap((token) => Array(epochs).fill(token)).sort());
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restore) restore();
  }

  /** What the sampler drew for an episode: in one session, all of it, and no other episode's. */
  #drawnBy({ completions }: RecordedEpisode): readonly Generation[] {
    const wanted = completions.map(({ promptIds, responseIds }) => keyOf(promptIds, responseIds));
    wanted.sort();
    for (const [session, generations] of this.#drawn) {
      const own = generations.filter(({ ids }) => ids.length > 0);
      const got = own.map(({ promptIds, ids }) => keyOf(promptIds, ids)).sort();
      if (got.length !== wanted.length || got.some((key, i) => key !== wanted[i])) continue;
      this.#drawn.delete(session);
      return own;
    }
    return expect.fail(`an episode of ${wanted.length} requests that the sampler knows nothing of`);
  }
}

/** What a loss is computed from. */
interface HostBatch extends Readonly<Record<keyof BatchTensors, ArrayLike<number>>> {
  /** [{@link ROWS}, M]: of each trained token the log-prob it is compared with, …, its weight third. */
  readonly numbers: ArrayLike<number>;
}

async function hostBatch(batch: BatchTensors, rows: Tensor): Promise<HostBatch> {
  const entries = Object.entries({ ...batch, numbers: rows }).map(
    async ([name, tensor]) => [name, (await tensor.read()).slice()] as const,
  );
  return Object.fromEntries(await Promise.all(entries)) as unknown as HostBatch;
}

/** The trained tokens of a batch: each as {@link tokenKey} has it, as often as the loss counts it. */
function trainedTokens(batch: HostBatch, isCompared: boolean): string[] {
  const { tokens, end, rows, targets, edges, offsets, numbers } = batch;
  const paths = pathsOf(tokens, end);
  const length = numbers.length / ROWS;
  const count = offsets[offsets.length - 1] as number;
  const keys: string[] = [];
  for (let m = 0; m < length; m++) {
    const weight = numbers[2 * length + m] as number;
    // behind them is padding, which must count for nothing
    if (m >= count) expect(weight).toBe(0);
    else {
      const edge = edges[m] as number;
      expect(weight).toBeGreaterThan(0);
      const logprob = isCompared ? numbers[m] : undefined;
      keys.push(tokenKey(paths[rows[edge] as number], targets[edge], logprob));
    }
  }
  return keys;
}

/** Of each place of a forest in pre-order, the ids from its root to it. */
function pathsOf(tokens: ArrayLike<number>, end: ArrayLike<number>): string[] {
  const above: number[] = [];
  return Array.from(tokens, (_, place) => {
    while (above.length > 0 && (end[above.at(-1) as number] as number) <= place) above.pop();
    above.push(place);
    return above.map((at) => tokens[at]).join(" ");
  });
}

function drawnTokens({ promptIds, ids, logprobs }: Generation, isCompared: boolean): string[] {
  return ids.map((id, t) => {
    const path = [...promptIds, ...ids.slice(0, t)].join(" ");
    return tokenKey(path, id, isCompared ? Math.fround(logprobs[t] as number) : undefined);
  });
}

/** A token behind the ids before it, with its log-prob when it was drawn. */
function tokenKey(path?: string, token?: number, logprob?: number): string {
  return `${path} → ${token} at ${logprob}`;
}

function keyOf(prompt: ArrayLike<number>, response: ArrayLike<number>): string {
  return `${Array.from(prompt)}|${Array.from(response)}`;
}

function continues({ promptIds }: Generation, earlier: readonly Generation[]): boolean {
  return earlier.some((other) =>
    [...other.promptIds, ...other.ids].every((id, t) => promptIds[t] === id),
  );
}

/** Puts a method in the place of one that it is made from. Returns what undoes it. */
function around<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = target[name];
  target[name] = make(original);
  return () => {
    target[name] = original;
  };
}
