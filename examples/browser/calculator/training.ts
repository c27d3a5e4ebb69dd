/** The calculator agent in the worker: the warm start and the practice of examples/calculator-agent, a step at a time. */
import {
  algorithmOf,
  applyOverrides,
  captureTrained,
  createPolicy,
  type Device,
  modelFiles,
  namedParameters,
  type OpenedPolicy,
  type PackedCheckpoint,
  packCheckpoint,
  parseConfig,
  RlTraining,
  restoreTrained,
  type TrainConfig,
  type TrainConfigInput,
  unpackCheckpoint,
  type WarmStartStep,
} from "forge-gpu";
import { parse as parseYaml } from "yaml";
import configText from "../../calculator-agent/calculator-agent.yaml";
import { environment } from "../../calculator-agent/environment.ts";
import { joined } from "../files.ts";
import type { Download, OpenOptions, Training } from "../training.ts";
import { zip } from "../zip.ts";
import type {
  CalculatorAt,
  CalculatorHistory,
  CalculatorProgress,
  EvaluationPoint,
  LossPoint,
  PracticePoint,
} from "./progress.ts";
import { transcriptOf } from "./transcripts.ts";

/** Transcripts of a step that are shown. */
const SHOWN = 6;

interface CalculatorState {
  readonly training: object;
  readonly history: CalculatorHistory;
  readonly episodes: number;
  readonly seconds: number;
}

export class CalculatorTraining implements Training<PackedCheckpoint | undefined> {
  readonly #tell: (progress: CalculatorProgress) => void;
  readonly #seed: number;
  readonly #config: TrainConfig;
  readonly #policy: OpenedPolicy;
  readonly #training: RlTraining;
  /** Until it is through. */
  #warmStart: AsyncGenerator<WarmStartStep, void> | undefined;
  readonly #losses: LossPoint[] = [];
  readonly #practice: PracticePoint[] = [];
  readonly #evaluations: EvaluationPoint[] = [];
  #episodes = 0;
  #seconds = 0;

  /** A new run, or one that goes on from a checkpoint of the same seed. */
  static async open(options: OpenOptions<CalculatorProgress>): Promise<CalculatorTraining> {
    const training = new CalculatorTraining(options);
    if (options.from) await training.#restore(options.device, options.from as PackedCheckpoint);
    training.#tellHistory();
    return training;
  }

  private constructor({ device, seed, overrides, tell }: OpenOptions<CalculatorProgress>) {
    this.#tell = tell;
    this.#seed = seed;
    const config = { ...parseYaml(configText), environment, seed };
    this.#config = parseConfig(applyOverrides(config, overrides) as TrainConfigInput);
    this.#policy = createPolicy(this.#config.model, { seed });
    this.#training = new RlTraining({
      ...{ device, config: this.#config, policy: this.#policy, environment },
      algorithm: algorithmOf(this.#config.algorithm),
      isDeterministic: environment.isPure,
    });
    this.#warmStart = this.#training.warmStart();
  }

  get isDone(): boolean {
    return !this.#warmStart && this.#training.steps >= this.#config.train.steps;
  }

  get label(): string {
    const { phase, step } = this.#at;
    const last = this.#evaluations.at(-1);
    const steps = `${phase === "practice" ? "practice" : "warm start"}, step ${step}`;
    return last ? `${steps}, ${percent(last.share)} right` : steps;
  }

  async step(): Promise<void> {
    if (this.#warmStart) return this.#warmUp(this.#warmStart);
    const started = performance.now();
    const { rollouts } = await this.#training.step(() => {});
    this.#seconds += (performance.now() - started) / 1000;
    this.#episodes += rollouts.length;
    const records = rollouts as readonly RolloutRecord[];
    const share = records.filter(({ isSuccess }) => isSuccess).length / records.length;
    const point = { step: this.#training.steps, share };
    this.#practice.push(point);
    const transcripts = chosen(records).map(({ isSuccess, turns }) =>
      transcriptOf(turns, isSuccess),
    );
    this.#tell({ kind: "practice", at: this.#at, point, transcripts });
    const { every } = this.#config.eval;
    if (this.isDone || this.#training.steps % every === 0) await this.#evaluate();
  }

  /** Undefined within the warm start, which takes seconds: it is begun anew. */
  async save(): Promise<PackedCheckpoint | undefined> {
    if (this.#warmStart) return undefined;
    const state: CalculatorState = {
      training: await this.#training.checkpoint(),
      history: this.#history,
      ...{ episodes: this.#episodes, seconds: this.#seconds },
    };
    const tensors = await captureTrained(this.#training.trained);
    return packCheckpoint(this.#training.steps, { tensors, state });
  }

  /** A directory that `forge-gpu chat` and the Hugging Face tools open. */
  async download(): Promise<Download> {
    const { step } = this.#at;
    const name = `calculator-agent-seed${this.#seed}-step${step}`;
    const files: Record<string, Uint8Array> = {};
    for (const file of modelFiles(this.#policy.model)) {
      files[`${name}/${file.name}`] = await joined(file.parts);
    }
    for (const [file, content] of Object.entries(this.#policy.files)) {
      const text = typeof content === "string" ? content : JSON.stringify(content, null, 2);
      files[`${name}/${file}`] = new TextEncoder().encode(text);
    }
    return { name: `${name}.zip`, bytes: zip(files) };
  }

  async #warmUp(warmStart: AsyncGenerator<WarmStartStep, void>): Promise<void> {
    const started = performance.now();
    const { value: step } = await warmStart.next();
    this.#seconds += (performance.now() - started) / 1000;
    if (step) {
      const point = { step: step.done, loss: step.loss };
      this.#losses.push(point);
      this.#tell({ kind: "warm-start", at: this.#at, point });
    } else {
      this.#warmStart = undefined;
      await this.#evaluate();
    }
  }

  async #evaluate(): Promise<void> {
    const started = performance.now();
    const { episodes } = await this.#training.evaluate((_, detail = "") => {
      this.#tell({ kind: "evaluating", detail });
    });
    this.#seconds += (performance.now() - started) / 1000;
    const share = episodes.filter(({ isSuccess }) => isSuccess).length / episodes.length;
    const point = { step: this.#training.steps, share };
    this.#evaluations.push(point);
    const transcripts = chosen(episodes).map(({ isSuccess, transcript }) =>
      transcriptOf(transcript, isSuccess),
    );
    this.#tell({ kind: "evaluation", at: this.#at, point, transcripts });
  }

  async #restore(device: Device, packed: PackedCheckpoint): Promise<void> {
    await using checkpoint = await unpackCheckpoint(packed);
    const { training, history, episodes, seconds } = checkpoint.state as CalculatorState;
    this.#warmStart = undefined;
    this.#training.prepare();
    await restoreTrained(device, checkpoint, this.#training.trained);
    await this.#training.resume(training);
    this.#losses.push(...history.losses);
    this.#practice.push(...history.practice);
    this.#evaluations.push(...history.evaluations);
    this.#episodes = episodes;
    this.#seconds = seconds;
  }

  #tellHistory(): void {
    const sizes = [...namedParameters(this.#policy.model).values()].map(({ size }) => size);
    const parameters = sizes.reduce((sum, size) => sum + size, 0);
    this.#tell({ kind: "history", at: this.#at, history: this.#history, parameters });
  }

  get #history(): CalculatorHistory {
    return { losses: this.#losses, practice: this.#practice, evaluations: this.#evaluations };
  }

  get #at(): CalculatorAt {
    const { warmStart, steps } = this.#config.train;
    const totals = { episodes: this.#episodes, seconds: this.#seconds };
    return this.#warmStart
      ? { phase: "warm-start", step: this.#losses.length, steps: warmStart?.steps ?? 0, ...totals }
      : { phase: "practice", step: this.#training.steps, steps, ...totals };
  }
}

/** What is shown of a record of an episode. */
interface RolloutRecord {
  readonly isSuccess: boolean;
  readonly turns: readonly { readonly prompt: string; readonly response: string }[];
}

/** Some episodes, successes and failures in turn, as far as there are both. */
function chosen<T extends { readonly isSuccess: boolean }>(episodes: readonly T[]): T[] {
  const right = episodes.filter(({ isSuccess }) => isSuccess);
  const wrong = episodes.filter(({ isSuccess }) => !isSuccess);
  return Array.from({ length: SHOWN }, (_, i) => [spread(right, i), spread(wrong, i)])
    .flat()
    .filter((episode) => episode !== undefined)
    .slice(0, SHOWN);
}

/** The i-th of as many as are shown: those beside each other are of one problem. */
function spread<T>(episodes: readonly T[], i: number): T | undefined {
  if (episodes.length <= SHOWN) return episodes[i];
  return episodes[Math.floor((i * episodes.length) / SHOWN)];
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
