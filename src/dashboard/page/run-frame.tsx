/** What all views of a run have above them: what it is, how it stands, and the ways on. */
import type { ComponentChildren, JSX } from "preact";
import type { MetricRows, RunDetails, RunHead } from "../api.ts";
import { useAnswer, useMetrics, useNews } from "./api-client.ts";
import { Change, Crumbs, evaluationLabel, Figure, StateMark, Trouble } from "./parts.tsx";
import { QUICK_LISTS } from "./quick-lists.ts";
import { href, pathOf, routeOf } from "./route.ts";
import { countText, durationText, figureText, timeText } from "./words.ts";

type Tab = "curves" | "rollouts" | "configuration";

/** Whether the address asks for a quick list. */
function isCurrent(query: Readonly<Record<string, string>>): boolean {
  const here = routeOf(location.hash);
  return (
    here.view === "rollouts" &&
    Object.entries(query).every(([key, value]) => here.query.get(key) === value)
  );
}

interface RunFrameProps {
  readonly id: string;
  readonly tab: Tab;
  readonly children: ComponentChildren;
}

/** See the file's head. */
export function RunFrame({ id, tab, children }: RunFrameProps): JSX.Element {
  const { data, error } = useAnswer<RunDetails>(`/api/runs/${pathOf(id)}`, useNews(id));
  const rows = useMetrics([id])[id];
  return (
    <>
      <Crumbs>
        <a href={href({ view: "runs" })}>Runs</a>
      </Crumbs>
      <header class="bar">
        <h1>{data?.head.name || id}</h1>
        {data && <StateMark state={data.head.state} />}
        <span class="muted small">{data && timeText(data.head.startedAt)}</span>
      </header>
      {error !== undefined && <Trouble text={error} />}
      {data && <Headline head={data.head} rows={rows} />}
      <div class="bar tabs">
        <nav aria-label="Views of the run">
          <TabLink id={id} tab="curves" current={tab} />
          <TabLink id={id} tab="rollouts" current={tab} />
          <TabLink id={id} tab="configuration" current={tab} />
        </nav>
        <span class="grow" />
        <nav class="quick" aria-label="Rollouts to look at">
          <span class="muted small">Rollouts:</span>
          {QUICK_LISTS.map(({ label, title, query }) => (
            <a
              key={label}
              class="button"
              title={title}
              aria-current={isCurrent(query) ? "true" : undefined}
              href={href({ view: "rollouts", run: id, query: new URLSearchParams(query) })}
            >
              {label}
            </a>
          ))}
        </nav>
      </div>
      {children}
    </>
  );
}

function TabLink({ id, tab, current }: { id: string; tab: Tab; current: Tab }): JSX.Element {
  const route =
    tab === "rollouts"
      ? ({ view: tab, run: id, query: new URLSearchParams() } as const)
      : ({ view: tab, run: id } as const);
  return (
    <a class="tab" href={href(route)} aria-current={tab === current ? "page" : undefined}>
      {tab}
    </a>
  );
}

function Headline({ head, rows }: { head: RunHead; rows: MetricRows | undefined }): JSX.Element {
  const { evaluation, steps, plannedSteps, seconds, environment, method } = head;
  const newest = (metric: string): number | null =>
    rows?.columns[metric]?.findLast((value) => value !== null) ?? null;
  const figures: readonly [string, string, "number" | "share"][] = [
    ["Reward", "reward/mean", "number"],
    ["Success in training", "rollout/success_rate", "share"],
    ["Loss", "losses/loss", "number"],
    ["Tokens trained on", "charts/tokens", "number"],
    ["Tokens a second", "yield/throughput", "number"],
  ];
  const isRl = newest("reward/mean") !== null;
  return (
    <dl class="headline">
      {evaluation && (
        <Figure label={`Held out: ${evaluationLabel(evaluation)}`}>
          <Change evaluation={evaluation} />
        </Figure>
      )}
      {figures.map(([label, metric, format]) => {
        const value = newest(metric);
        // of a policy gradient it says nothing
        if (value === null || (isRl && metric === "losses/loss")) return null;
        return (
          <Figure key={metric} label={label} title={rows?.words[metric]?.meaning}>
            {figureText(value, format)}
          </Figure>
        );
      })}
      <Figure label="Steps">
        {countText(steps)}
        {plannedSteps !== null && <span class="muted"> of {countText(plannedSteps)}</span>}
      </Figure>
      <Figure label="Time">{durationText(seconds)}</Figure>
      <Figure label="Method">{method || "–"}</Figure>
      {environment !== "" && <Figure label="Environment">{environment}</Figure>}
    </dl>
  );
}
