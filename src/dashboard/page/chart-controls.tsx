/** How charts are drawn: smoothing, scale and axis. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ChartStyle } from "./chart.tsx";

const KEY = "forge-gpu/charts";
const PLAIN: ChartStyle = { smoothing: 0, isLog: false, x: "step" };

/** The style that this reader chose last. */
export function useChartStyle(): [ChartStyle, (style: ChartStyle) => void] {
  const [style, setStyle] = useState<ChartStyle>(() => {
    try {
      return { ...PLAIN, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
    } catch {
      return PLAIN;
    }
  });
  const change = (next: ChartStyle): void => {
    setStyle(next);
    localStorage.setItem(KEY, JSON.stringify(next));
  };
  return [style, change];
}

interface ChartControlsProps {
  readonly style: ChartStyle;
  readonly onChange: (style: ChartStyle) => void;
}

/** See the file's head. */
export function ChartControls({ style, onChange }: ChartControlsProps): JSX.Element {
  return (
    <fieldset class="controls">
      <legend class="unseen">How curves are drawn</legend>
      <label>
        Smoothing
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={style.smoothing}
          onInput={(event) => onChange({ ...style, smoothing: Number(event.currentTarget.value) })}
        />
        <output class="tabular">{style.smoothing.toFixed(2)}</output>
      </label>
      <label>
        <input
          type="checkbox"
          checked={style.isLog}
          onChange={(event) => onChange({ ...style, isLog: event.currentTarget.checked })}
        />
        Log scale
      </label>
      <label>
        Over
        <select
          value={style.x}
          onChange={(event) =>
            onChange({ ...style, x: event.currentTarget.value === "time" ? "time" : "step" })
          }
        >
          <option value="step">steps</option>
          <option value="time">time</option>
        </select>
      </label>
      <span class="muted small hint">
        Drag across a chart to zoom; double-click to see all of it.
      </span>
    </fieldset>
  );
}
