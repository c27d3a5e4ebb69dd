/** Lines at the end of a terminal that are drawn over, with whatever is said written above them. */
import { clip } from "./line.ts";
import type { ProgressStream } from "./progress.ts";

/**
 * A block of lines. The cursor is never hidden, and stands on the line below the block between two drawings: a process that
 * ends in between, by whatever signal, leaves the terminal as it should be.
 */
export class LiveBlock {
  readonly #stream: ProgressStream;
  readonly #columns: () => number;
  /** As drawn. */
  #lines: readonly string[] = [];
  #drawnColumns = 0;

  /** `columns` is asked at each drawing: the window may have changed. */
  constructor(stream: ProgressStream, columns: () => number) {
    this.#stream = stream;
    this.#columns = columns;
  }

  /** Draws the lines over those that are there, cut to the width and height of the terminal. */
  draw(lines: readonly string[]): void {
    const columns = this.#columns();
    const next = lines
      .slice(0, (this.#stream.rows || 24) - 1)
      .map((line) => clip(line, columns - 1));
    const isSame =
      next.length === this.#lines.length && next.every((line, i) => line === this.#lines[i]);
    if (isSame && columns === this.#drawnColumns) return;
    this.#write("", next, columns);
  }

  /** Writes text above the block, where it stays. */
  print(text: string): void {
    this.#write(`${text}\n`, this.#lines, this.#columns());
  }

  /** Leaves the block where it is, and writes text below it. */
  finish(text: string): void {
    this.#stream.write(`${text}\n`);
    this.#lines = [];
  }

  /** All in one write, lest a half-drawn block is seen. */
  #write(above: string, lines: readonly string[], columns: number): void {
    const height = this.#height(columns);
    const home = height > 0 ? `\x1b[${height}A\r` : "\r";
    this.#stream.write(`${home}\x1b[J${above}${lines.map((line) => `${line}\n`).join("")}`);
    this.#lines = lines;
    this.#drawnColumns = columns;
  }

  /** Rows that the drawn lines take now: a narrowed window has wrapped them. */
  #height(columns: number): number {
    const rows = this.#lines.map((line) => Math.max(1, Math.ceil(line.length / columns)));
    const all = rows.reduce((sum, height) => sum + height, 0);
    return Math.min(all, (this.#stream.rows || 24) - 1);
  }
}
