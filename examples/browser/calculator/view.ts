/** The calculator agent on the page: its conversations, its curves, and what there is to say about them. */
import { Curve } from "../curve.ts";
import { part } from "../elements.ts";
import type { Panel, View } from "../panel.ts";
import type {
  CalculatorAt,
  CalculatorHistory,
  CalculatorProgress,
  EvaluationPoint,
  LossPoint,
  PracticePoint,
  Transcript,
} from "./progress.ts";
import { transcriptCard } from "./transcript-card.ts";

/** Conversations stay for so long, that they can be read. */
const READING_MS = 2500;
/** Steps of practice that the strong figure is the mean of. */
const SMOOTHED = 5;

export class CalculatorView implements View<"calculator"> {
  readonly #section: HTMLElement;
  readonly #lossCurve: Curve;
  readonly #shareCurve: Curve;
  #losses: LossPoint[] = [];
  #practice: PracticePoint[] = [];
  #evaluations: EvaluationPoint[] = [];
  #shownAt = Number.NEGATIVE_INFINITY;

  constructor({ section }: Panel<"calculator">) {
    this.#section = section;
    this.#lossCurve = new Curve(part(section, "loss-curve", HTMLElement), {
      across: "step of the warm start",
      range: [0, 4],
      marks: [0, 1, 2, 3, 4],
      lines: [{ label: "loss, in nats a token", colour: "--accent", width: 2.5 }],
      format: (value) => value.toFixed(0),
    });
    this.#shareCurve = new Curve(part(section, "share-curve", HTMLElement), {
      across: "step of practice",
      range: [0, 1.04],
      marks: [0, 0.25, 0.5, 0.75, 1],
      lines: [
        { label: "right in practice", colour: "--pale", width: 1.5 },
        { label: "right of new problems", colour: "--accent", width: 2.5, hasDots: true },
      ],
      format: percent,
    });
    this.clear();
  }

  clear(): void {
    this.#begin({ losses: [], practice: [], evaluations: [] });
    this.#showFigures(undefined);
    this.#showTranscripts([], "its conversations will be here");
  }

  stepMs(pace: string): number {
    return pace === "full" ? 0 : Number(pace);
  }

  progress(progress: CalculatorProgress): void {
    switch (progress.kind) {
      case "history":
        this.#begin(progress.history);
        part(this.#section, "parameters", HTMLElement).textContent =
          `${progress.parameters.toLocaleString("en")} numbers`;
        break;
      case "warm-start":
        this.#losses.push(progress.point);
        this.#caption("it is shown how to do it; what it makes of that will be here");
        break;
      case "practice":
        this.#practice.push(progress.point);
        this.#showTranscripts(progress.transcripts, `practice, step ${progress.point.step}`);
        break;
      case "evaluating":
        this.#caption(`an examination: ${progress.detail}`);
        return;
      case "evaluation":
        this.#evaluations.push(progress.point);
        this.#shownAt = Number.NEGATIVE_INFINITY;
        this.#showTranscripts(
          progress.transcripts,
          progress.point.step === 0
            ? "what the warm start has left, on problems that it has never seen"
            : `problems that it has never seen, after step ${progress.point.step}`,
        );
    }
    this.#showFigures(progress.at);
    this.#showCurves();
  }

  #begin({ losses, practice, evaluations }: CalculatorHistory): void {
    this.#losses = [...losses];
    this.#practice = [...practice];
    this.#evaluations = [...evaluations];
    this.#shownAt = Number.NEGATIVE_INFINITY;
    this.#showCurves();
  }

  #showTranscripts(transcripts: readonly Transcript[], caption: string): void {
    const now = performance.now();
    if (now - this.#shownAt < READING_MS) return;
    this.#shownAt = now;
    const host = part(this.#section, "transcripts", HTMLElement);
    host.replaceChildren(...transcripts.map(transcriptCard));
    host.hidden = transcripts.length === 0;
    this.#caption(caption);
  }

  #showCurves(): void {
    const isPractice = this.#evaluations.length > 0;
    part(this.#section, "loss-curve", HTMLElement).hidden = isPractice;
    part(this.#section, "share-curve", HTMLElement).hidden = !isPractice;
    if (!isPractice) {
      const { length } = this.#losses;
      this.#lossCurve.show([
        length > 0 ? this.#losses.map(({ step }) => step) : [0],
        length > 0 ? this.#losses.map(({ loss }) => loss) : [null],
      ]);
      return;
    }
    const shares = new Map(this.#practice.map(({ step, share }) => [step, share]));
    const exams = new Map(this.#evaluations.map(({ step, share }) => [step, share]));
    const steps = [...new Set([...exams.keys(), ...shares.keys()])].sort((a, b) => a - b);
    this.#shareCurve.show([
      steps,
      steps.map((step) => shares.get(step) ?? null),
      steps.map((step) => exams.get(step) ?? null),
    ]);
  }

  #showFigures(at: CalculatorAt | undefined): void {
    const set = (name: string, text: string): void => {
      part(this.#section, name, HTMLElement).textContent = text;
    };
    const recent = this.#practice.slice(-SMOOTHED).map(({ share }) => share);
    const [first, last] = [this.#evaluations[0], this.#evaluations.at(-1)];
    const isWarm = at?.phase === "practice";
    const steps = at ? `${at.step} of ${at.steps}` : "–";
    set("warm-steps", isWarm ? "done" : steps);
    set("practice-steps", isWarm ? steps : "–");
    part(this.#section, "warm-bar", HTMLProgressElement).value = isWarm ? 1 : shareOf(at);
    part(this.#section, "practice-bar", HTMLProgressElement).value = isWarm ? shareOf(at) : 0;
    set("practice-share", recent.length > 0 ? percent(mean(recent)) : "–");
    set("exam-share", last ? percent(last.share) : "–");
    set("exam-before", first && last !== first ? `from ${percent(first.share)}` : "");
    set("episodes", at ? at.episodes.toLocaleString("en") : "–");
    set("seconds", at && at.seconds > 0 ? `${at.seconds.toFixed(0)} s` : "–");
    set("comment", comment(at, first, last));
  }

  #caption(text: string): void {
    part(this.#section, "caption", HTMLElement).textContent = text;
  }
}

/** What the figures mean. */
function comment(
  at: CalculatorAt | undefined,
  first: EvaluationPoint | undefined,
  last: EvaluationPoint | undefined,
): string {
  if (!at || (at.phase === "warm-start" && at.step === 0)) return "It knows nothing yet.";
  if (!first || !last) return "It copies what it is shown: how a call is written, and an answer.";
  if (last === first)
    return `The warm start has left it at ${percent(first.share)}. From here on it learns by trying.`;
  if (last.share >= 0.95)
    return `${percent(last.share)} of problems that it has never seen: it has learned to finish what it begins.`;
  return `Trying has taken it from ${percent(first.share)} to ${percent(last.share)}.`;
}

function shareOf(at: CalculatorAt | undefined): number {
  return at && at.steps > 0 ? at.step / at.steps : 0;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
