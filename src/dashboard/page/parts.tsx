/** Small parts of several views. */
import type { ComponentChildren, JSX } from "preact";
import type { Evaluated, RunState } from "../api.ts";
import { figureText, STATE_WORDS, shortName } from "./words.ts";

/** The state of a run. */
export function StateMark({ state }: { state: RunState }): JSX.Element {
  return (
    <span class={`state state-${state}`} title={STATE_WORDS[state]}>
      {state}
    </span>
  );
}

/** A figure under its name. */
export function Figure({ label, title, children }: FigureProps): JSX.Element {
  return (
    <div class="figure" title={title}>
      <dt>{label}</dt>
      <dd class="tabular">{children}</dd>
    </div>
  );
}

interface FigureProps {
  readonly label: string;
  readonly title?: string | undefined;
  readonly children: ComponentChildren;
}

/** Before → after. */
export function Change({ evaluation }: { evaluation: Evaluated }): JSX.Element {
  const { metric, before, after } = evaluation;
  const format = /loss/.test(metric) ? "number" : "share";
  return (
    <span class="tabular" title={`${metric}: the first evaluation and the newest`}>
      {figureText(before, format)}
      <span class="muted"> → </span>
      {after === null ? <span class="muted">?</span> : <strong>{figureText(after, format)}</strong>}
    </span>
  );
}

/** The name of an evaluation, as a label. */
export function evaluationLabel({ metric }: Evaluated): string {
  return metric === "eval/pass_at_1" ? "pass@1" : shortName(metric);
}

/** What went wrong, where it matters. */
export function Trouble({ text }: { text: string }): JSX.Element {
  return (
    <p class="trouble" role="alert">
      {text}
    </p>
  );
}

/** The way back. */
export function Crumbs({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <nav class="crumbs" aria-label="Where this is">
      {children}
    </nav>
  );
}

/** Whether an episode counts as solved. */
export function SuccessMark({ isSuccess }: { isSuccess: boolean }): JSX.Element {
  return isSuccess ? (
    <span class="good" role="img" aria-label="solved" title="solved">
      ✓
    </span>
  ) : (
    <span class="muted" role="img" aria-label="not solved" title="not solved">
      ✗
    </span>
  );
}
