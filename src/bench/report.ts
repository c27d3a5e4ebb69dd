/** What a benchmark found, as a Markdown table (which reads well on a terminal too) and as plain data. */
import type { Summary } from "./measure.ts";
import { type Roofs, roofsText } from "./roofs.ts";

/** One contender on one task. */
export interface Row extends Summary {
  /** The task: `512³ NN`. */
  readonly task: string;
  /** Floating-point operations, or bytes moved, of one call; a rate is worked out of the one that is given. */
  readonly flops?: number;
  readonly bytes?: number;
  /** Tokens of one call. */
  readonly tokens?: number;
  /** Share of the time in which the host, not the adapter, was waited for. */
  readonly hostShare?: number;
  /** Whether it ran on something else than the adapter, whose limits then mean nothing. Default false. */
  readonly isElsewhere?: boolean;
}

/** A part of the report: one table. */
export interface Section {
  readonly rows: readonly Row[];
  /** What must be known to read it. */
  readonly notes?: readonly string[];
  /** Limits of the adapter, where shares of them mean something. */
  readonly roofs?: Roofs;
  /** What is worth a number beside times, for programs; `notes` say it to people. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** A figure beside the bar that it is held to. */
export interface Target {
  readonly what: string;
  readonly measured: number;
  readonly bar: number;
  readonly unit: string;
  /** Whether more or less is better. */
  readonly isAtLeast: boolean;
}

/** Whether a figure reaches its bar. */
export function isMet({ measured, bar, isAtLeast }: Target): boolean {
  return isAtLeast ? measured >= bar : measured <= bar;
}

const SHARES = ["of the limit", "of the fastest"] as const;

/** A section as Markdown. */
export function sectionText({ rows, notes = [], roofs }: Section): string {
  const tasks = [...new Set(rows.map((r) => r.task))];
  const lines = tasks.flatMap((task) => {
    const own = rows.filter((r) => r.task === task);
    const fastest = Math.min(...own.map((r) => r.medianMs));
    return own.map((row, i) => rowCells(row, i === 0, own.length > 1 ? fastest : undefined, roofs));
  });
  const header = [
    ["task", "engine", "median", "best", "tokens", "host", "rate", ...SHARES, "load", "clean"],
  ];
  return [table([...header, ...lines]), ...notes, ...(roofs ? [roofsText(roofs)] : [])].join(
    "\n\n",
  );
}

function rowCells(
  row: Row,
  isFirst: boolean,
  fastestMs: number | undefined,
  roofs: Roofs | undefined,
): string[] {
  const rate = rateOf(row, roofs);
  const share = fastestMs === undefined ? "" : percent(fastestMs / row.medianMs);
  const load = row.foreignCores === undefined ? "" : row.foreignCores.toFixed(2);
  return [
    isFirst ? row.task : "",
    row.name,
    duration(row.medianMs),
    duration(row.bestMs),
    row.tokens === undefined ? "" : `${digits((1000 * row.tokens) / row.medianMs)} /s`,
    row.hostShare === undefined ? "" : percent(row.hostShare),
    rate?.text ?? "",
    rate?.share ?? "",
    share,
    load,
    `${row.cleanBlocks}/${row.blocks}`,
  ];
}

function rateOf(row: Row, roofs: Roofs | undefined): { text: string; share: string } | undefined {
  const { flops, bytes, medianMs, isElsewhere } = row;
  const work = flops ?? bytes;
  if (work === undefined) return undefined;
  const rate = work / medianMs / 1e6;
  const roof = flops === undefined ? roofs?.gigabytesPerSecond : roofs?.gigaflops;
  return {
    text: `${digits(rate)} ${flops === undefined ? "GB/s" : "GFLOP/s"}`,
    share: roof === undefined || isElsewhere ? "" : percent(rate / roof),
  };
}

/** The targets as Markdown. */
export function targetsText(targets: readonly Target[]): string {
  const rows = targets.map((t) => [
    t.what,
    `${digits(t.measured)} ${t.unit}`,
    `${t.isAtLeast ? "≥" : "≤"} ${t.bar} ${t.unit}`,
    isMet(t) ? "met" : "missed",
  ]);
  return table([["what", "measured", "bar", ""], ...rows]);
}

/** Rows of cells, the first being the header, as an aligned Markdown table; columns without any content are left out. */
export function table(cells: readonly (readonly string[])[]): string {
  const hasContent = (c: number): boolean => cells.slice(1).some((row) => row[c]);
  const rows = cells.map((row) => row.filter((_, c) => hasContent(c)));
  const [header = []] = rows;
  const widths = header.map((_, c) => Math.max(3, ...rows.map((r) => [...(r[c] ?? "")].length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, c) => cell.padEnd(widths[c] ?? 0)).join(" | ")} |`;
  const rule = widths.map((w) => "-".repeat(w));
  return [header, rule, ...rows.slice(1)].map(line).join("\n");
}

/** Milliseconds in the unit that suits them. */
export function duration(ms: number): string {
  if (ms >= 1000) return `${digits(ms / 1000)} s`;
  return ms >= 0.1 ? `${digits(ms)} ms` : `${digits(ms * 1000)} µs`;
}

/** Three significant digits. */
export function digits(x: number): string {
  if (!Number.isFinite(x)) return String(x);
  return Math.abs(x) >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(3)));
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
