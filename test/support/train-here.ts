/** Training runs in this process, on the shared device. */
import type { Environment } from "../../src/agent/environment.ts";
import { parseConfig } from "../../src/train/config/parse.ts";
import type { TrainConfigInput } from "../../src/train/config/types.ts";
import type { Metrics } from "../../src/train/run/metrics.ts";
import type { TrainView } from "../../src/train/run/train-view.ts";
import { type TrainResult, train } from "../../src/train/train.ts";
import { device } from "./gpu.ts";

/** A view that writes down what it is told. */
export class NotedView implements TrainView {
  readonly said: string[] = [];
  readonly warnings: string[] = [];
  readonly steps = new Map<number, Metrics>();
  /** Called with each phase, as in `saving checkpoint 2`. */
  onPhase: (phase: string) => void = () => {};
  /** Called with each warning. */
  onWarning: (text: string) => void = () => {};

  goOn(): void {}

  step(step: number, metrics: Metrics): void {
    this.steps.set(step, metrics);
  }

  phase(name: string, detail = ""): void {
    this.onPhase(`${name} ${detail}`);
  }

  say(text: string): void {
    this.said.push(text);
  }

  warn(text: string): void {
    this.warnings.push(text);
    this.onWarning(text);
  }

  end(): void {}
}

/** Options of {@link trainHere}. */
export interface TrainHereOptions {
  readonly view?: NotedView;
  readonly resume?: string;
  readonly signal?: AbortSignal;
}

/** Trains; `folder` is where runs lie. An environment goes in the place of that of the configuration. */
export async function trainHere<Task>(
  folder: string,
  {
    environment,
    ...input
  }: Omit<TrainConfigInput, "environment"> & {
    readonly environment?: string | Environment<Task> | null;
  },
  { view = new NotedView(), resume, signal = new AbortController().signal }: TrainHereOptions = {},
): Promise<TrainResult> {
  const config = parseConfig(
    { ...input, environment, run: { directory: folder, tensorboard: false, ...input.run } },
    { name: "here" },
  );
  return train({
    loaded: { config, file: "", directory: folder, warnings: [] },
    ...{ device: await device(), view, version: "0.0.0", signal },
    ...(resume !== undefined && { resume }),
  });
}
