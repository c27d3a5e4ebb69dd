/** The page of the dashboard. */
import "uplot/dist/uPlot.min.css";
import "./base.css";
import "./runs.css";
import "./run.css";
import "./rollouts.css";
import "./rollout.css";
import { type JSX, render } from "preact";
import { useEffect } from "preact/hooks";
import { CompareView } from "./compare-view.tsx";
import { ConfigurationView } from "./configuration-view.tsx";
import { CurvesView } from "./curves-view.tsx";
import { RolloutView } from "./rollout-view.tsx";
import { RolloutsView } from "./rollouts-view.tsx";
import { type Route, useRoute } from "./route.ts";
import { RunFrame } from "./run-frame.tsx";
import { RunsView } from "./runs-view.tsx";

function Page(): JSX.Element {
  const route = useRoute();
  const place = placeOf(route);
  useEffect(() => scrollTo(0, 0), [place]);
  useEffect(() => {
    document.title = `${place} · forge-gpu`;
  }, [place]);
  return <main>{viewOf(route)}</main>;
}

/** What is looked at, without how. */
function placeOf(route: Route): string {
  if (route.view === "runs") return "runs";
  if (route.view === "compare") return `${route.runs.length} runs`;
  return `${route.run} ${route.view === "rollout" ? `rollout ${route.number}` : route.view}`;
}

function viewOf(route: Route): JSX.Element {
  switch (route.view) {
    case "runs":
      return <RunsView />;
    case "compare":
      return <CompareView ids={route.runs} />;
    case "curves":
      return (
        <RunFrame id={route.run} tab="curves">
          <CurvesView id={route.run} />
        </RunFrame>
      );
    case "configuration":
      return (
        <RunFrame id={route.run} tab="configuration">
          <ConfigurationView id={route.run} />
        </RunFrame>
      );
    case "rollouts":
      return (
        <RunFrame id={route.run} tab="rollouts">
          <RolloutsView key={route.run} id={route.run} query={route.query} />
        </RunFrame>
      );
    case "rollout":
      return (
        <RolloutView
          key={`${route.run} ${route.number}`}
          id={route.run}
          number={route.number}
          query={route.query}
        />
      );
  }
}

render(<Page />, document.body);
