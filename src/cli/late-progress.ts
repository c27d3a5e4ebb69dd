/** Progress on stderr of work that mostly takes no time: nothing is shown before it takes long. */
import { Progress } from "../terminal/progress.ts";

const PATIENCE_MS = 500;

/** See the file's head. */
export class LateProgress {
  readonly #label: string;
  readonly #unit: string;
  readonly #started = performance.now();
  #progress: Progress | undefined;

  /** `unit` is as in `Progress`. */
  constructor(label: string, unit: string) {
    this.#label = label;
    this.#unit = unit;
  }

  /** Says how much is done by now. */
  update(done: number, total: number): void {
    const isLate = performance.now() - this.#started > PATIENCE_MS;
    if (!this.#progress && isLate && done < total)
      this.#progress = new Progress({ label: this.#label, total, unit: this.#unit, start: done });
    this.#progress?.update(done);
  }

  /** Ends the line, if there is one. */
  end(): void {
    this.#progress?.done();
  }
}
