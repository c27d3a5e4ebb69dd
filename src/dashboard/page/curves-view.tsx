/** The curves of a run, and what it warned of. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { MetricRows, StepWarning } from "../api.ts";
import { useMetrics } from "./api-client.ts";
import { Chart, type ChartStyle, type Line } from "./chart.tsx";
import { ChartControls, useChartStyle } from "./chart-controls.tsx";
import { type Curve, sectionsOf } from "./curve-groups.ts";
import { shortName } from "./words.ts";

/** See the file's head. */
export function CurvesView({ id }: { id: string }): JSX.Element {
  const rows = useMetrics([id])[id];
  const [style, setStyle] = useChartStyle();
  const names = Object.keys(rows?.columns ?? {})
    .sort()
    .join(" ");
  const sections = useMemo(
    () => sectionsOf(names.split(" ").filter((name) => name !== "")),
    [names],
  );
  if (!rows) return <p class="muted">Reading …</p>;
  if (rows.steps.length === 0) return <p class="muted">No step is done yet.</p>;
  return (
    <>
      <Warnings warnings={rows.warnings} unreadable={rows.unreadable} />
      <ChartControls style={style} onChange={setStyle} />
      {sections.map(({ title, curves }) => (
        <section key={title}>
          <h2>{title}</h2>
          <div class="charts">
            {curves.map((curve) => (
              <RunChart key={curve.title} curve={curve} rows={rows} style={style} />
            ))}
          </div>
        </section>
      ))}
    </>
  );
}

interface RunChartProps {
  readonly curve: Curve;
  readonly rows: MetricRows;
  readonly style: ChartStyle;
}

function RunChart({ curve, rows, style }: RunChartProps): JSX.Element {
  const lines = useMemo(() => {
    const xs = axisOf(rows, style.x);
    return curve.metrics.map((metric, colour): Line => {
      const { meaning, format } = rows.words[metric] ?? {};
      const label = metric.startsWith("eval/pass_at_")
        ? metric.replace("eval/pass_at_", "pass@")
        : shortName(metric);
      return { label, meaning, colour, xs, ys: rows.columns[metric] ?? [], format };
    });
  }, [curve, rows, style.x]);
  return <Chart title={curve.title} lines={lines} style={style} />;
}

/** Steps, or the seconds since the first. */
export function axisOf({ steps, wallTimes }: MetricRows, x: ChartStyle["x"]): readonly number[] {
  return x === "step" ? steps : wallTimes.map((time) => time - (wallTimes[0] ?? 0));
}

interface WarningsProps {
  readonly warnings: readonly StepWarning[];
  readonly unreadable: number;
}

const SHOWN_WARNINGS = 3;

function Warnings({ warnings, unreadable }: WarningsProps): JSX.Element | null {
  const [isOpen, setOpen] = useState(false);
  if (warnings.length === 0 && unreadable === 0) return null;
  const newest = warnings.toReversed();
  const shown = isOpen ? newest : newest.slice(0, SHOWN_WARNINGS);
  return (
    <section class="warnings" aria-label="Warnings">
      <ul>
        {unreadable > 0 && (
          <li>{unreadable} lines of metrics.jsonl are no metrics and are left out.</li>
        )}
        {shown.map(({ step, code, text }) => (
          <li key={`${step} ${code}`}>
            <span class="muted tabular">step {step}</span> {text}
          </li>
        ))}
      </ul>
      {newest.length > SHOWN_WARNINGS && (
        <button type="button" class="quiet" onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Show the newest alone" : `Show all ${newest.length}`}
        </button>
      )}
    </section>
  );
}
