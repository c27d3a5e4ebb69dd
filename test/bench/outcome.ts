/** What one benchmark gives: text for people, data for programs, and the bars it is held to. */
import { type Row, sectionText, type Target } from "../../src/bench/report.ts";
import type { Roofs } from "../../src/bench/roofs.ts";

/** The outcome of a benchmark. */
export interface Outcome {
  readonly title: string;
  /** Markdown. */
  readonly text: string;
  readonly data: unknown;
  readonly targets: readonly Target[];
}

/** The outcome of a benchmark whose figures are rows of the common table. */
export function outcomeOfRows(
  title: string,
  rows: readonly Row[],
  options: {
    readonly notes?: readonly string[];
    readonly targets?: readonly Target[];
    readonly roofs?: Roofs;
  } = {},
): Outcome {
  const { notes = [], targets = [], roofs } = options;
  const text = sectionText({ rows, notes }, roofs);
  return { title, text, data: rows, targets };
}
