/**
 * A training run as a person watches it, on stderr: a block that is drawn anew on a terminal, a line a step elsewhere.
 */
import { curveLines } from "../../terminal/curve.ts";
import { barText, wrapped } from "../../terminal/line.ts";
import { LiveBlock } from "../../terminal/live-block.ts";
import type { ProgressStream } from "../../terminal/progress.ts";
import { clockText } from "../../terminal/units.ts";
import { figureRows, figuresOf } from "./figures.ts";
import type { Metrics, StepMetrics } from "./metrics.ts";

/** What a run is doing. */
export type Phase = "loading" | "waiting" | "sampling" | "training" | "evaluating" | "saving";

/** Settings of {@link createTrainView}. */
export interface TrainViewOptions {
  /** Default `process.stderr`. */
  readonly stream?: ProgressStream;
  /** Whether the block may be drawn. Default: the stream is a terminal, and neither NO_COLOR, CI nor TERM=dumb says no. */
  readonly isTty?: boolean;
  /** Width in characters. Default that of the stream, asked at each drawing. */
  readonly columns?: number;
  /** Shows warnings and nothing else. */
  readonly isQuiet?: boolean;
  /** Steps of the whole run. */
  readonly steps: number;
}

/** See the file's head. */
export interface TrainView {
  /** Takes over what a resumed run has done before, oldest first. */
  goOn(history: readonly StepMetrics[]): void;
  /** Shows the metrics of a step that is done; 0 is before the first. Metrics that it lacks stay as they were. */
  step(step: number, metrics: Metrics): void;
  /** Says what is done now, and how far it is: `"24 of 64 episodes"`. */
  phase(name: Phase, detail?: string): void;
  /** Writes a line that stays. */
  say(text: string): void;
  /** The same of something that is not as it should be. */
  warn(text: string): void;
  /** Ends the view; what it shows stays, with `summary` under it. */
  end(summary?: string): void;
}

/** A view for the stream: live, plain or quiet. */
export function createTrainView(options: TrainViewOptions): TrainView {
  const stream = options.stream ?? process.stderr;
  if (options.isQuiet) return new QuietView(stream);
  return (options.isTty ?? isLive(stream))
    ? new LiveView(stream, options)
    : new PlainView(stream, options);
}

function isLive(stream: ProgressStream): boolean {
  const { NO_COLOR, CI, TERM } = process.env;
  return stream.isTTY === true && !NO_COLOR && !CI && TERM !== "dumb";
}

class QuietView implements TrainView {
  readonly #stream: ProgressStream;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  goOn(): void {}

  step(): void {}

  phase(): void {}

  say(): void {}

  warn(text: string): void {
    this.#stream.write(`${warningText(text)}\n`);
  }

  end(): void {}
}

class PlainView implements TrainView {
  readonly #stream: ProgressStream;
  readonly #steps: number;
  readonly #pace: Pace;

  constructor(stream: ProgressStream, { steps }: TrainViewOptions) {
    this.#stream = stream;
    this.#steps = steps;
    this.#pace = new Pace(steps);
  }

  goOn(history: readonly StepMetrics[]): void {
    this.#pace.goOn(history.at(-1)?.step ?? 0);
  }

  step(step: number, metrics: Metrics): void {
    this.#pace.step(step);
    const left = this.#pace.secondsLeft();
    const parts = [
      `step ${step} of ${this.#steps}`,
      ...figuresOf(metrics).map(({ label, value }) => `${label} ${value}`),
      ...(left === undefined ? [] : [`${clockText(left)} left`]),
    ];
    this.#stream.write(`${parts.join("  ")}\n`);
  }

  phase(): void {}

  say(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  warn(text: string): void {
    this.say(warningText(text));
  }

  end(summary?: string): void {
    if (summary !== undefined) this.#stream.write(`${summary}\n`);
  }
}

const TICK_MS = 200;
const CURVE_HEIGHT = 4;
const LONGEST_BAR = 40;
const WIDEST = 100;
/** What the curve shows: the first of these that the run has. */
const CURVES = ["reward/mean", "charts/episodic_return", "losses/loss"];

class LiveView implements TrainView {
  readonly #block: LiveBlock;
  readonly #columns: () => number;
  readonly #steps: number;
  readonly #pace: Pace;
  readonly #timer: NodeJS.Timeout;
  #latest: Metrics = {};
  #curve: Curve | undefined;
  #phase: { readonly name: string; readonly detail: string; readonly since: number };

  constructor(stream: ProgressStream, { columns, steps }: TrainViewOptions) {
    this.#columns = () => columns ?? (stream.columns || 80);
    this.#block = new LiveBlock(stream, this.#columns);
    this.#steps = steps;
    this.#pace = new Pace(steps);
    this.#phase = { name: "loading", detail: "", since: performance.now() };
    // The clocks go on between two steps. The timer keeps no process alive.
    this.#timer = setInterval(() => this.#draw(), TICK_MS).unref();
    this.#draw();
  }

  goOn(history: readonly StepMetrics[]): void {
    for (const past of history) this.#note(past.step, past.metrics);
    this.#pace.goOn(history.at(-1)?.step ?? 0);
    this.#draw();
  }

  step(step: number, metrics: Metrics): void {
    this.#pace.step(step);
    this.#note(step, metrics);
    this.#draw();
  }

  phase(name: Phase, detail = ""): void {
    const since = name === this.#phase.name ? this.#phase.since : performance.now();
    // one line, and nothing that moves the cursor
    this.#phase = { name, detail: detail.replace(/[\p{Cc}\s]+/gu, " "), since };
  }

  say(text: string): void {
    this.#print(text, "");
  }

  warn(text: string): void {
    this.#print(warningText(text), " ".repeat(WARNING.length));
  }

  end(summary?: string): void {
    clearInterval(this.#timer);
    this.#block.draw(this.#lines([]));
    if (summary !== undefined) this.#block.finish(summary);
  }

  #print(text: string, indent: string): void {
    this.#block.print(wrapped(text, this.#columns() - 1, indent));
  }

  #note(step: number, metrics: Metrics): void {
    this.#latest = { ...this.#latest, ...metrics };
    const name = CURVES.find((key) => metrics[key] !== undefined);
    if (name !== undefined) this.#curve ??= new Curve(name);
    this.#curve?.add(step, metrics);
  }

  #draw(): void {
    const { name, detail, since } = this.#phase;
    const seconds = (performance.now() - since) / 1000;
    const phase = [name, ...(detail ? [detail] : []), clockText(seconds)].join("  ");
    this.#block.draw(this.#lines([phase]));
  }

  #lines(phase: readonly string[]): readonly string[] {
    const width = Math.min(this.#columns() - 1, WIDEST);
    const figures = figuresOf(this.#latest);
    return [
      this.#progressLine(width),
      ...phase,
      ...(figures.length > 0 ? figureRows(figures, width) : []),
      ...(this.#curve?.lines(width) ?? []),
    ];
  }

  #progressLine(width: number): string {
    const share = this.#steps > 0 ? Math.min(1, this.#pace.done / this.#steps) : 1;
    const left = this.#pace.secondsLeft();
    const head = `step ${this.#pace.done} of ${this.#steps}`;
    const tail = [
      `${String(Math.floor(100 * share)).padStart(3)} %`,
      ...(left === undefined ? [] : [`${clockText(left)} left`]),
    ].join("  ");
    const room = width - head.length - tail.length - 4;
    return [head, ...(room > 0 ? [barText(share, Math.min(room, LONGEST_BAR))] : []), tail].join(
      "  ",
    );
  }
}

/** The curve of one metric over the steps. */
class Curve {
  readonly #name: string;
  readonly #steps: number[] = [];
  readonly #values: number[] = [];
  /** As last drawn: thousands of steps are not averaged at every tick. */
  #drawn: { readonly lines: readonly string[]; readonly of: string } = { lines: [], of: "" };

  constructor(name: string) {
    this.#name = name;
  }

  add(step: number, metrics: Metrics): void {
    const value = metrics[this.#name];
    if (value === undefined) return;
    this.#steps.push(step);
    this.#values.push(value);
  }

  lines(width: number): readonly string[] {
    if (this.#values.length < 2) return [];
    const of = `${this.#values.length} in ${width}`;
    if (of !== this.#drawn.of) {
      const caption = `${this.#name}, steps ${this.#steps[0]} to ${this.#steps.at(-1)}`;
      this.#drawn = { lines: [...curveLines(this.#values, width, CURVE_HEIGHT), caption], of };
    }
    return this.#drawn.lines;
  }
}

/** How fast steps go by. */
class Pace {
  /** The last step that is done. */
  done = 0;
  readonly #steps: number;
  /** Moments of the last steps in milliseconds, oldest first. */
  #moments: number[] = [performance.now()];

  constructor(steps: number) {
    this.#steps = steps;
  }

  goOn(done: number): void {
    this.done = done;
    this.#moments = [performance.now()];
  }

  step(step: number): void {
    // a measurement before the first step is none
    if (step > this.done) {
      this.#moments.push(performance.now());
      if (this.#moments.length > PACE_STEPS + 1) this.#moments.shift();
    }
    this.done = step;
  }

  /** At the pace of the last steps; undefined before the first. */
  secondsLeft(): number | undefined {
    const [first, last] = [Number(this.#moments[0]), Number(this.#moments.at(-1))];
    if (this.#moments.length < 2) return undefined;
    const perStep = (last - first) / (this.#moments.length - 1);
    return Math.max(0, perStep * (this.#steps - this.done) - (performance.now() - last)) / 1000;
  }
}

const PACE_STEPS = 20;

const WARNING = "warning  ";

function warningText(text: string): string {
  return WARNING + text;
}
