/** Figures, times and names as people read them. */
import { clockText, numberText, smallText } from "../../terminal/units.ts";
import type { MetricWords, RunState } from "../api.ts";

/** A figure in its metric's way. */
export function figureText(
  value: number | null | undefined,
  format?: MetricWords["format"],
): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text =
    format === "share"
      ? `${(100 * value).toFixed(Math.abs(value) < 0.0995 && value !== 0 ? 1 : 0)} %`
      : format === "scientific" && value !== 0
        ? smallText(value)
        : numberText(value);
  return text.replaceAll("-", "−");
}

/** A tick of an axis: as many digits as tell it from the next one, `step` away. */
export function tickText(value: number, step: number, format?: MetricWords["format"]): string {
  const scale = format === "share" ? 100 : 1;
  const [shown, apart] = [value * scale, step * scale];
  const isWhole = (digits: number): boolean => {
    const scaled = apart * 10 ** digits;
    return Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled;
  };
  const digits = [0, 1, 2, 3, 4].find(isWhole) ?? 5;
  const isUnwieldy = digits > 4 || Math.abs(shown) >= 1e4;
  const text = isUnwieldy ? unwieldyText(shown) : shown.toFixed(digits);
  return (format === "share" ? `${text} %` : text).replaceAll("-", "−");
}

function unwieldyText(value: number): string {
  return Math.abs(value) >= 1 || value === 0 ? numberText(value) : value.toExponential();
}

/** A whole number with its thousands apart. */
export function countText(count: number): string {
  return count.toLocaleString("en-GB").replaceAll(",", "\u202f");
}

/** So many of something: `1 token`, `2 tokens`. */
export function manyText(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** How long something took. */
export function durationText(seconds: number): string {
  return clockText(seconds);
}

/** When something was, in the reader's own zone. */
export function timeText(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  return time.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** What a state means. */
export const STATE_WORDS: Readonly<Record<RunState, string>> = {
  live: "A process is writing this run now.",
  done: "All steps were done.",
  interrupted: "It was interrupted or ran out of time; it can go on with --resume.",
  failed: "It ended without a summary: it was killed, or an error stopped it.",
};

/** The name of a metric without its group. */
export function shortName(metric: string): string {
  return metric.slice(metric.indexOf("/") + 1).replaceAll("_", " ");
}
