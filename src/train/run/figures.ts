/** Metrics as a person reads them in a terminal: short words from the catalogue, short numbers. */
import { numberText, smallText } from "../../terminal/units.ts";
import { type FigureFormat, METRICS } from "./metric-catalogue.ts";
import type { Metrics } from "./metrics.ts";

/** A metric in words. */
export interface Figure {
  readonly label: string;
  readonly value: string;
}

/** The metrics that terminals show, in the catalogue's order. */
export function figuresOf(metrics: Metrics): readonly Figure[] {
  return Object.entries(METRICS).flatMap(([name, { label, format }]) => {
    const value = metrics[name];
    if (label === undefined || value === undefined) return [];
    // of a policy gradient it says nothing: on policy it is 0, whatever is learned
    if (name === "losses/loss" && "reward/mean" in metrics) return [];
    return [{ label, value: valueText(value, format) }];
  });
}

/** Figures in rows of as many equal cells as fit into so many characters. */
export function figureRows(figures: readonly Figure[], columns: number): readonly string[] {
  const labelWidth = Math.max(...figures.map(({ label }) => label.length));
  const valueWidth = Math.max(VALUE_WIDTH, ...figures.map(({ value }) => value.length));
  const cells = figures.map(
    ({ label, value }) => label.padEnd(labelWidth + 1) + value.padStart(valueWidth),
  );
  const perRow = Math.max(
    1,
    Math.floor((columns + GAP.length) / (labelWidth + 1 + valueWidth + GAP.length)),
  );
  return Array.from({ length: Math.ceil(cells.length / perRow) }, (_, row) =>
    cells.slice(row * perRow, (row + 1) * perRow).join(GAP),
  );
}

const GAP = "  ";
/** Numbers rarely take more, and the cells keep their places while they do not. */
const VALUE_WIDTH = 6;

function valueText(value: number, format: FigureFormat = "number"): string {
  if (!Number.isFinite(value)) return String(value);
  if (format === "share") return `${(100 * value).toFixed(value > 0 && value < 0.0995 ? 1 : 0)} %`;
  return format === "scientific" && value !== 0 ? smallText(value) : numberText(value);
}
