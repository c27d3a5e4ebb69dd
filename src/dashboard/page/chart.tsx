/** A chart of lines over steps or time, with the values under the pointer. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { MetricWords } from "../api.ts";
import { smoothed } from "./smoothing.ts";
import { durationText, figureText, tickText } from "./words.ts";

/** A line. */
export interface Line {
  readonly label: string;
  /** What the label means. */
  readonly meaning: string | undefined;
  /** Of the palette, from 0. */
  readonly colour: number;
  readonly xs: readonly number[];
  readonly ys: readonly (number | null)[];
  readonly format: MetricWords["format"] | undefined;
}

/** How all charts of a page are drawn. */
export interface ChartStyle {
  /** From 0 (as measured) to below 1. */
  readonly smoothing: number;
  readonly isLog: boolean;
  readonly x: "step" | "time";
}

interface ChartProps {
  readonly title: string;
  /** What all lines are, where they do not say it each. */
  readonly words?: string | undefined;
  readonly lines: readonly Line[];
  readonly style: ChartStyle;
}

const HEIGHT = 190;
/** Colours of the palette, in base.css. */
const COLOURS = 8;
/** So many points can be told apart. */
const FEW_POINTS = 40;

/** The variable of base.css that holds a colour. */
export function colourOf(index: number): string {
  return `--series-${(index % COLOURS) + 1}`;
}

/** See the file's head. Charts of a page share their cursor. */
export function Chart({ title, words, lines, style }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const [index, setIndex] = useState<number | null>(null);
  const theme = useTheme();
  const table = useMemo(() => tableOf(lines, style), [lines, style]);
  const shape = `${theme} ${table.isLog} ${style.x} ${style.smoothing > 0} ${lines.map(({ label, colour, format }) => `${label} ${colour} ${format}`)} ${table.sparse}`;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const options = optionsOf({ lines, style, table, element, onCursor: setIndex });
    const made = new uPlot(options, table.data, element);
    chart.current = made;
    const observer = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      chart.current = undefined;
    };
  }, [shape]);

  useEffect(() => {
    chart.current?.setData(table.data);
  }, [table]);

  const xs = table.data[0];
  const x = index === null ? undefined : xs[index];
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="muted tabular">
          {x !== undefined && (style.x === "step" ? `step ${x}` : durationText(x))}
        </span>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={summaryOf(title, lines)} />
      <ul class="legend">
        {lines.map((line, l) => (
          <LegendRow key={line.label} line={line} value={valueAt(table, l, index)} />
        ))}
      </ul>
      {words !== undefined && <p class="muted small">{words}</p>}
      {table.hidden > 0 && (
        <p class="muted small">{table.hidden} values of 0 or less have no place on a log scale.</p>
      )}
    </figure>
  );
}

function LegendRow({ line, value }: { line: Line; value: number | null }): JSX.Element {
  return (
    <li>
      <span class="swatch" style={{ background: `var(${colourOf(line.colour)})` }} />
      <span class="legend-label">{line.label}</span>
      <output class="tabular">{figureText(value, line.format)}</output>
      {line.meaning !== undefined && <span class="legend-meaning muted">{line.meaning}</span>}
    </li>
  );
}

/** What is drawn: raw lines, and smooth ones over them. */
interface Table {
  readonly data: uPlot.AlignedData;
  /** Raw values on the common axis. */
  readonly raw: readonly (readonly (number | null)[])[];
  readonly isLog: boolean;
  /** Values that a log scale does not show. */
  readonly hidden: number;
  /** Of each line, whether its points are drawn. */
  readonly sparse: readonly boolean[];
}

function tableOf(lines: readonly Line[], { smoothing, isLog: wantsLog }: ChartStyle): Table {
  const [xs, ...raw] = aligned(lines);
  const isPositive = (y: number | null): boolean => y !== null && y > 0;
  // a log scale of nothing has no end
  const isLog = wantsLog && raw.some((ys) => ys.some(isPositive));
  const shown = raw.map((ys) => (isLog ? ys.map((y) => (isPositive(y) ? y : null)) : ys));
  const smooth = smoothing > 0 ? shown.map((ys) => smoothed(ys, smoothing)) : [];
  const count = (rows: readonly (readonly (number | null)[])[]): number =>
    rows.reduce((sum, ys) => sum + ys.filter((y) => y !== null).length, 0);
  return {
    // the first line is what the chart is about: it is drawn last, over the others
    data: [xs, ...shown.toReversed(), ...smooth.toReversed()] as uPlot.AlignedData,
    ...{ raw, isLog },
    hidden: count(raw) - count(shown),
    sparse: raw.map((ys) => count([ys]) <= FEW_POINTS),
  };
}

/** Lines over the union of their axes. */
function aligned(lines: readonly Line[]): [number[], ...(number | null)[][]] {
  const axes = new Set(lines.map(({ xs }) => xs));
  if (axes.size === 1) return [[...(lines[0]?.xs ?? [])], ...lines.map(({ ys }) => [...ys])];
  const xs = [...new Set([...axes].flatMap((axis) => [...axis]))].sort((a, b) => a - b);
  const places = new Map(xs.map((x, i) => [x, i]));
  const rows = lines.map((line) => {
    const ys = new Array<number | null>(xs.length).fill(null);
    line.xs.forEach((x, i) => {
      ys[places.get(x) as number] = line.ys[i] ?? null;
    });
    return ys;
  });
  return [xs, ...rows];
}

/** Under the pointer; the newest where there is none. */
function valueAt({ raw }: Table, line: number, index: number | null): number | null {
  const ys = raw[line] ?? [];
  if (index !== null) return ys[index] ?? null;
  return ys.findLast((y) => y !== null) ?? null;
}

interface OptionParts {
  readonly lines: readonly Line[];
  readonly style: ChartStyle;
  readonly table: Table;
  readonly element: HTMLElement;
  readonly onCursor: (index: number | null) => void;
}

function optionsOf({ lines, style, table, element, onCursor }: OptionParts): uPlot.Options {
  const css = getComputedStyle(document.documentElement);
  const colour = (name: string): string => css.getPropertyValue(name).trim();
  const isSmooth = style.smoothing > 0;
  const series = (line: Line, isRaw: boolean, isSparse: boolean): uPlot.Series => ({
    stroke: colour(colourOf(line.colour)),
    width: isRaw && isSmooth ? 1 : 1.75,
    alpha: isRaw && isSmooth ? 0.3 : 1,
    spanGaps: true,
    points: {
      show: isSparse && !(isSmooth && !isRaw),
      size: 4,
      fill: colour(colourOf(line.colour)),
    },
  });
  const axis: uPlot.Axis = {
    stroke: colour("--muted"),
    font: `11px ${css.fontFamily}`,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    gap: 6,
  };
  const format = lines[0]?.format;
  return {
    ...{ width: element.clientWidth, height: HEIGHT, padding: [8, 10, 0, 0] },
    legend: { show: false },
    scales: { x: { time: false }, y: table.isLog ? { distr: 3 } : {} },
    axes: [
      {
        ...axis,
        size: 26,
        values: (_, values) =>
          values.map((x) => (style.x === "step" ? stepText(x) : durationText(x))),
      },
      {
        ...axis,
        size: 52,
        values: (_, values, __, ___, step) =>
          values.map((y) => (y === null ? "" : tickText(y, table.isLog ? y : step, format))),
      },
    ],
    series: [
      {},
      ...lines.map((line, l) => series(line, true, table.sparse[l] === true)).toReversed(),
      ...(isSmooth ? lines.map((line) => series(line, false, false)).toReversed() : []),
    ],
    cursor: {
      y: false,
      drag: { x: true, y: false },
      points: { size: 6 },
      sync: { key: "page", scales: ["x", null] },
    },
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
  };
}

function stepText(x: number): string {
  return Number.isInteger(x) ? figureText(x) : "";
}

function summaryOf(title: string, lines: readonly Line[]): string {
  const ends = lines.map(({ label, ys, format }) => {
    const values = ys.filter((y) => y !== null);
    return `${label}: from ${figureText(values[0], format)} to ${figureText(values.at(-1), format)}`;
  });
  return `${title}. ${ends.join("; ")}`;
}

const DARK = "(prefers-color-scheme: dark)";

function useTheme(): string {
  const [isDark, setDark] = useState(() => matchMedia(DARK).matches);
  useEffect(() => {
    const query = matchMedia(DARK);
    const onChange = (): void => setDark(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  return isDark ? "dark" : "light";
}
