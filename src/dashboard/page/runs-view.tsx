/** The list of runs, newest first. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { RunHead, RunList } from "../api.ts";
import { useAnswer, useNews } from "./api-client.ts";
import { Change, evaluationLabel, StateMark, Trouble } from "./parts.tsx";
import { href } from "./route.ts";
import { Sparkline } from "./sparkline.tsx";
import { countText, durationText, shortName, timeText } from "./words.ts";

/** See the file's head. */
export function RunsView(): JSX.Element {
  const { data, error } = useAnswer<RunList>("/api/runs", useNews());
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [words, setWords] = useState("");
  const toggle = (id: string): void =>
    setChosen(chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  const runs = (data?.runs ?? []).filter(({ id, environment }) =>
    `${id} ${environment}`.toLowerCase().includes(words.toLowerCase()),
  );
  return (
    <>
      <header class="bar">
        <h1>Runs</h1>
        {data && data.runs.length > 0 && (
          <input
            type="search"
            placeholder="Filter by name"
            aria-label="Filter by name"
            value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
          />
        )}
        <span class="grow" />
        {chosen.length < 2 ? (
          <span class="muted small">
            {data && data.runs.length > 1 && "Choose two or more to compare"}
          </span>
        ) : (
          <a class="button primary" href={href({ view: "compare", runs: chosen })}>
            Compare {chosen.length} runs
          </a>
        )}
      </header>
      {error !== undefined && <Trouble text={error} />}
      {data && data.runs.length === 0 && <NoRuns places={data.places} />}
      <ul class="runs">
        {runs.map((run) => (
          <RunRow
            key={run.id}
            run={run}
            isChosen={chosen.includes(run.id)}
            onChoose={() => toggle(run.id)}
          />
        ))}
      </ul>
    </>
  );
}

interface RunRowProps {
  readonly run: RunHead;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

function RunRow({ run, isChosen, onChoose }: RunRowProps): JSX.Element {
  const { id, name, state, steps, plannedSteps, seconds, curve, evaluation } = run;
  return (
    <li class={isChosen ? "run chosen" : "run"}>
      <input type="checkbox" checked={isChosen} onChange={onChoose} aria-label={`Compare ${id}`} />
      <div class="run-name">
        <a href={href({ view: "curves", run: id })}>{name || id}</a>
        <span class="muted small">
          {timeText(run.startedAt)}
          {run.method !== "" && ` · ${run.method}`}
        </span>
      </div>
      <StateMark state={state} />
      <span class="tabular run-steps">
        {countText(steps)}
        <span class="muted">
          {plannedSteps === null ? " steps" : ` of ${countText(plannedSteps)}`}
        </span>
        <span class="muted small"> · {durationText(seconds)}</span>
      </span>
      <span class="run-curve">
        {curve && (
          <Sparkline values={curve.values} title={`${shortName(curve.metric)} over the run`} />
        )}
        {curve && (
          <span class="muted small">
            {curve.metric === "reward/mean" ? "reward" : shortName(curve.metric)}
          </span>
        )}
      </span>
      <span class="run-change">
        {evaluation ? (
          <>
            <Change evaluation={evaluation} />
            <span class="muted small">{evaluationLabel(evaluation)}</span>
          </>
        ) : (
          <span class="muted small">not evaluated</span>
        )}
      </span>
    </li>
  );
}

function NoRuns({ places }: { places: readonly string[] }): JSX.Element {
  return (
    <div class="empty">
      <p>There are no runs yet in</p>
      <ul>
        {places.map((place) => (
          <li key={place}>
            <code>{place}</code>
          </li>
        ))}
      </ul>
      <p>
        Begin one with <code>forge-gpu train config.yaml</code>; it shows up here by itself.
      </p>
    </div>
  );
}
