/** Several runs on the same axes, and what they were told differently. */
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { MetricRows, RunDetails } from "../api.ts";
import { ask, useMetrics } from "./api-client.ts";
import { Chart, type ChartStyle, colourOf, type Line } from "./chart.tsx";
import { ChartControls, useChartStyle } from "./chart-controls.tsx";
import { keyRows } from "./configuration.ts";
import { valueText } from "./configuration-view.tsx";
import { sectionsOf } from "./curve-groups.ts";
import { axisOf } from "./curves-view.tsx";
import { Change, Crumbs, StateMark, Trouble } from "./parts.tsx";
import { href, pathOf } from "./route.ts";

/** Each metric has a chart of its own here, since each run has a line: of these there are enough. */
const SECTIONS = 3;

/** See the file's head. */
export function CompareView({ ids }: { ids: readonly string[] }): JSX.Element {
  const all = useMetrics(ids);
  const [style, setStyle] = useChartStyle();
  const { runs, error } = useDetails(ids);
  const names = namesOf(ids, runs);
  const metrics = [...new Set(Object.values(all).flatMap(({ columns }) => Object.keys(columns)))]
    .sort()
    .join(" ");
  const sections = useMemo(
    () => sectionsOf(metrics.split(" ").filter((name) => name !== "")),
    [metrics],
  );
  return (
    <>
      <Crumbs>
        <a href={href({ view: "runs" })}>Runs</a>
      </Crumbs>
      <header class="bar">
        <h1>{ids.length} runs</h1>
      </header>
      {error !== undefined && <Trouble text={error} />}
      <ul class="compared">
        {ids.map((id, i) => {
          const head = runs[i]?.head;
          return (
            <li key={id}>
              <span class="swatch" style={{ background: `var(${colourOf(i)})` }} />
              <a href={href({ view: "curves", run: id })}>{names[i]}</a>
              {head && <StateMark state={head.state} />}
              {head?.evaluation && <Change evaluation={head.evaluation} />}
            </li>
          );
        })}
      </ul>
      {runs.length === ids.length && <Differences runs={runs} names={names} />}
      <ChartControls style={style} onChange={setStyle} />
      {sections.map((section, s) => (
        <details key={section.title} open={s < SECTIONS}>
          <summary>
            <h2>{section.title}</h2>
          </summary>
          <div class="charts">
            {section.curves
              .flatMap((curve) => curve.metrics)
              .map((metric) => (
                <MetricChart key={metric} {...{ metric, ids, names, all, style }} />
              ))}
          </div>
        </details>
      ))}
    </>
  );
}

interface MetricChartProps {
  readonly metric: string;
  readonly ids: readonly string[];
  readonly names: readonly string[];
  readonly all: Readonly<Record<string, MetricRows>>;
  readonly style: ChartStyle;
}

function MetricChart({ metric, ids, names, all, style }: MetricChartProps): JSX.Element {
  const words = Object.values(all).find((rows) => rows.words[metric])?.words[metric];
  const lines = ids.flatMap((id, colour): Line[] => {
    const rows = all[id];
    const ys = rows?.columns[metric];
    if (!rows || !ys) return [];
    const label = names[colour] ?? id;
    return [
      {
        ...{ label, colour, ys },
        meaning: undefined,
        xs: axisOf(rows, style.x),
        format: words?.format,
      },
    ];
  });
  return <Chart title={metric} words={words?.meaning} lines={lines} style={style} />;
}

interface DifferencesProps {
  readonly runs: readonly RunDetails[];
  readonly names: readonly string[];
}

function Differences({ runs, names }: DifferencesProps): JSX.Element {
  const rows = keyRows(runs.map(({ record }) => record["config"]));
  const different = rows.filter(({ isSame }) => !isSame);
  return (
    <section>
      <h2>What differs</h2>
      {different.length === 0 ? (
        <p class="muted">Their configurations are the same, all {rows.length} keys.</p>
      ) : (
        <div class="scroll">
          <table class="keys">
            <thead>
              <tr>
                <th scope="col">Key</th>
                {names.map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {different.map(({ key, values }) => (
                <tr key={key}>
                  <th scope="row">{key}</th>
                  {values.map((value, i) => (
                    <td key={names[i]}>{valueText(value)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          <p class="muted small">{rows.length - different.length} other keys are the same.</p>
        </div>
      )}
    </section>
  );
}

function useDetails(ids: readonly string[]): {
  runs: readonly RunDetails[];
  error: string | undefined;
} {
  const [runs, setRuns] = useState<readonly RunDetails[]>([]);
  const [error, setError] = useState<string>();
  const key = ids.join(" ");
  useEffect(() => {
    const leave = new AbortController();
    const paths = key.split(" ").map((id) => `/api/runs/${pathOf(id)}`);
    Promise.all(paths.map((path) => ask<RunDetails>(path, leave.signal))).then(
      setRuns,
      (reason: Error) => {
        if (!leave.signal.aborted) setError(reason.message);
      },
    );
    return () => leave.abort();
  }, [key]);
  return { runs, error };
}

/** Short names, as long as they tell the runs apart. */
function namesOf(ids: readonly string[], runs: readonly RunDetails[]): string[] {
  const short = runs.map(({ head }) => head.name);
  const areDifferent = runs.length === ids.length && new Set(short).size === ids.length;
  return areDifferent ? short : ids.map((id) => id);
}
