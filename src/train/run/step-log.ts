/** A log of lines of JSON, each of which belongs to a step: `metrics.jsonl` and `rollouts.jsonl`. */
import { ForgeError } from "../../../engine/error.ts";
import { AppendFile } from "./append-file.ts";

const NEWLINE = 10;
/** Bytes that are read at once on the way back through the log. */
const PIECE_BYTES = 1 << 14;
/** Room for `{"step":` and the longest integer. */
const HEAD_BYTES = 32;

/** A log whose lines begin with `{"step":` and whose steps never fall from line to line. */
export class StepLog {
  readonly #file: AppendFile;
  #lastStep = Number.NEGATIVE_INFINITY;

  /**
   * Opens a log, or makes an empty one. A torn last line is cut.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`
   */
  constructor(path: string) {
    this.#file = new AppendFile(path);
    this.rewind(Number.POSITIVE_INFINITY);
  }

  /**
   * Adds lines of a step, all or none.
   *
   * @throws ForgeError `disk_full`, `run_directory_unwritable`; `argument_invalid` for a step before that of the last line
   */
  append(step: number, lines: readonly string[]): void {
    if (!(step >= this.#lastStep)) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "the steps of a log never fall",
        got: `step ${step} after step ${this.#lastStep} (${this.#file.path})`,
        fix: "rewind the run to the step of the checkpoint that it goes on from",
      });
    }
    this.#file.append(Buffer.from(lines.map((line) => `${line}\n`).join("")));
    if (lines.length > 0) this.#lastStep = step;
  }

  /** Cuts off all lines of steps after `step`, and what is no whole line. */
  rewind(step: number): void {
    let end = this.#lastNewline(this.#file.size) + 1;
    this.#lastStep = Number.NEGATIVE_INFINITY;
    while (end > 0) {
      const start = this.#lastNewline(end - 1) + 1;
      const found = this.#stepAt(start);
      if (found <= step) {
        this.#lastStep = found;
        break;
      }
      end = start;
    }
    if (end < this.#file.size) this.#file.truncate(end);
  }

  /** Returns once all lines are on the disk. */
  sync(): void {
    this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }

  /** Where the last newline before `end` is, or −1. */
  #lastNewline(end: number): number {
    for (let rest = end; rest > 0; ) {
      const start = Math.max(0, rest - PIECE_BYTES);
      const piece = new Uint8Array(rest - start);
      const at = piece.subarray(0, this.#file.read(piece, start)).lastIndexOf(NEWLINE);
      if (at >= 0) return start + at;
      rest = start;
    }
    return -1;
  }

  /** The step of the line that begins at `start`; NaN, which is before no step, where there is none. */
  #stepAt(start: number): number {
    const head = Buffer.alloc(HEAD_BYTES);
    const text = head.toString("latin1", 0, this.#file.read(head, start));
    return Number(/^\{"step":(\d+)[,}]/.exec(text)?.[1] ?? Number.NaN);
  }
}
