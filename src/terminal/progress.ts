/**
 * How far a long piece of work has come: one line that is drawn anew on a terminal, a line every few seconds elsewhere.
 */
import { barText, clip } from "./line.ts";
import { amountText, clockText } from "./units.ts";

/** Where progress is written: `process.stderr`, or what a test collects. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  /** Size of the terminal in characters. */
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** What {@link Progress} shows. */
export interface ProgressOptions {
  /** What is being done: the line's first words. */
  readonly label: string;
  /** The amount at the end. */
  readonly total: number;
  /** What is counted: `"B"` for bytes, which are shown as kB, MB, …, or a word as it stands: `"steps"`. */
  readonly unit: string;
  /** The amount that was done before, and says nothing about the rate. Default 0. */
  readonly start?: number;
  /** Default `process.stderr`. */
  readonly stream?: ProgressStream;
}

/** Time between drawings, in milliseconds. */
const TERMINAL_TICK_MS = 100;
const PLAIN_TICK_MS = 5000;
/** The rate is that of the last so many milliseconds. */
const WINDOW_MS = 5000;
const LONGEST_BAR = 40;
const SHORTEST_BAR = 8;
const CLEAR_LINE = "\r\x1b[K";

/**
 * A progress line with amount, rate and remaining time.
 *
 * It draws by a timer, so that {@link update} may be called as often as one likes, and a rate falls when nothing comes
 * any more. The timer does not keep the process alive.
 */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #stream: ProgressStream;
  readonly #isTerminal: boolean;
  readonly #timer: NodeJS.Timeout;
  /** Moments in milliseconds with the amount done by then, oldest first. */
  readonly #samples: (readonly [at: number, done: number])[];
  #done: number;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#stream = options.stream ?? process.stderr;
    this.#isTerminal = this.#stream.isTTY === true && process.env["TERM"] !== "dumb";
    this.#done = options.start ?? 0;
    this.#samples = [[performance.now(), this.#done]];
    const tick = this.#isTerminal ? TERMINAL_TICK_MS : PLAIN_TICK_MS;
    this.#timer = setInterval(() => this.#draw(), tick).unref();
    if (this.#isTerminal) this.#draw();
  }

  /** Says how much is done by now, in the unit, counted from zero. It may fall. */
  update(done: number): void {
    this.#done = done;
  }

  /** Writes a line of its own above the progress. */
  note(line: string): void {
    this.#stream.write(`${this.#isTerminal ? CLEAR_LINE : ""}${line}\n`);
    if (this.#isTerminal) this.#draw();
  }

  /** Ends with a last line: `summary`, or else how far it has come. */
  done(summary?: string): void {
    clearInterval(this.#timer);
    const line = summary ?? this.#line(this.#rate());
    this.#stream.write(`${this.#isTerminal ? CLEAR_LINE : ""}${line}\n`);
  }

  #draw(): void {
    const line = this.#line(this.#rate());
    this.#stream.write(this.#isTerminal ? `\r${line}\x1b[K` : `${line}\n`);
  }

  /** Amount per second in the last {@link WINDOW_MS}, or since the last drawing where that is longer ago. */
  #rate(): number {
    const now = performance.now();
    const samples = this.#samples;
    samples.push([now, this.#done]);
    while (samples.length > 2 && (samples[1]?.[0] ?? now) <= now - WINDOW_MS) samples.shift();
    const [at, done] = samples[0] ?? [now, this.#done];
    return now > at ? Math.max(0, (1000 * (this.#done - done)) / (now - at)) : 0;
  }

  #line(rate: number): string {
    const { label, total, unit } = this.#options;
    const share = total > 0 ? Math.min(1, Math.max(0, this.#done / total)) : 1;
    const left = total - this.#done;
    const figures = [
      // Rounded down: 100 % means all of it.
      `${String(Math.floor(100 * share)).padStart(3)} %`,
      `${amountText(this.#done, unit)} of ${amountText(total, unit)}`,
      ...(rate > 0 ? [`${amountText(rate, unit)}/s`] : []),
      ...(left > 0 ? [rate > 0 ? `${clockText(left / rate)} left` : "waiting"] : []),
    ].join("  ");
    if (!this.#isTerminal) return `${label}  ${figures.trimStart()}`;
    const columns = (this.#stream.columns || 80) - 1;
    const room = columns - label.length - figures.length - 4;
    const bar = room < SHORTEST_BAR ? "" : `${barText(share, Math.min(room, LONGEST_BAR))}  `;
    return clip(`${label}  ${bar}${figures}`, columns);
  }
}
