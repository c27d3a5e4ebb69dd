/** What one benchmark gives: text for people, data for programs, and the bars it is held to. */
import { type Section, sectionText, type Target } from "../../src/bench/report.ts";

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
  section: Section,
  targets: readonly Target[] = [],
): Outcome {
  return { title, text: sectionText(section), data: section, targets };
}
