/** Curves, in the colours of the page. */
import uPlot from "uplot";
import { theme } from "./theme.ts";

/** A line of a curve. */
export interface Line {
  readonly label: string;
  /** Custom property of the page that its colour is. */
  readonly colour: `--${string}`;
  readonly width: number;
  /** Whether each value is marked. */
  readonly hasDots?: boolean;
}

export interface CurveOptions {
  /** What the first column counts. */
  readonly across: string;
  readonly lines: readonly Line[];
  /** Of the values: least and most. */
  readonly range: readonly [number, number];
  /** Values that have a line across. */
  readonly marks: readonly number[];
  /** How the first column begins and ends. Default: as its values do. */
  readonly acrossRange?: readonly [number, number];
  readonly format?: (value: number) => string;
}

/** A column for each line behind that of the x values; `null` where there is no value. */
export type CurveData = [xs: number[], ...lines: (number | null)[][]];

const HEIGHT = 190;

/** A plot that fills its host's width and follows the theme. */
export class Curve {
  readonly #host: HTMLElement;
  readonly #options: CurveOptions;
  #data: CurveData;
  #plot: uPlot | undefined;

  constructor(host: HTMLElement, options: CurveOptions) {
    this.#host = host;
    this.#options = options;
    this.#data = [[], ...options.lines.map(() => [])];
    new ResizeObserver(() => {
      const width = Math.floor(host.clientWidth);
      if (width > 0) this.#plot?.setSize({ width, height: HEIGHT });
    }).observe(host);
    theme.onChange(() => this.#draw());
    this.#draw();
  }

  show(data: CurveData): void {
    this.#data = data;
    this.#plot?.setData(data);
  }

  #draw(): void {
    this.#plot?.destroy();
    const { across, lines, range, marks, acrossRange, format = String } = this.#options;
    const axis: uPlot.Axis = {
      stroke: theme.colour("--muted"),
      grid: { stroke: theme.colour("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    this.#plot = new uPlot(
      {
        ...{ width: Math.max(200, Math.floor(this.#host.clientWidth)), height: HEIGHT },
        scales: {
          x: { time: false, range: (_, min, max) => acrossOf(acrossRange, min, max) },
          y: { range: [...range] as [number, number] },
        },
        axes: [
          { ...axis, size: 28, grid: { show: false }, values: (_, at) => at.map(shortCount) },
          { ...axis, size: 44, splits: [...marks], values: (_, at) => at.map(format) },
        ],
        series: [
          { label: across, value: (_, x) => (x === null ? "–" : x.toLocaleString("en")) },
          ...lines.map((line) => ({
            label: line.label,
            stroke: theme.colour(line.colour),
            width: line.width,
            points: { show: line.hasDots ?? false, size: 7, fill: theme.colour(line.colour) },
            spanGaps: true,
            value: (_: uPlot, y: number | null) => (y === null ? "–" : format(y)),
          })),
        ],
        cursor: { y: false, points: { size: 6 } },
        legend: { live: false },
      },
      this.#data,
      this.#host,
    );
  }
}

/** From the first value on, and never so few that the marks are fractions. */
function acrossOf(given: CurveOptions["acrossRange"], min: number, max: number): [number, number] {
  if (given) return [...given];
  return [min ?? 0, Math.max(max ?? 0, (min ?? 0) + 10)];
}

/** 20,000 as 20k. */
function shortCount(value: number): string {
  return value >= 1000 ? `${value / 1000}k` : String(value);
}
