/** What both demos have in common: start and pause, seed and pace, kept checkpoints, and what went wrong. */
import { type KeptCheckpoint, keptCheckpoints } from "./checkpoints.ts";
import { DemoClient } from "./client.ts";
import { element, part } from "./elements.ts";
import { showNotice } from "./notice.ts";
import type { Activity, DemoName, ProgressOf, Report } from "./protocol.ts";
import { failureWords } from "./support.ts";

/** What shows a demo. */
export interface View<Name extends DemoName> {
  /** Shows that nothing has begun. */
  clear(): void;
  progress(progress: ProgressOf[Name]): void;
  /** Milliseconds that a step takes at least, at a pace that can be chosen. */
  stepMs(pace: string): number;
}

/** `idle`: nothing is open; `pausing`: the step under way is finished first. */
type State = Activity | "idle" | "pausing" | "failed";

const START: Readonly<Record<State, string>> = {
  idle: "Start",
  opening: "Starting …",
  training: "Pause",
  pausing: "Pausing …",
  paused: "Go on",
  playing: "Go on",
  done: "Trained",
  failed: "Start",
};

const STATUS: Readonly<Record<State, string>> = {
  idle: "",
  opening: "opening the GPU",
  training: "training",
  pausing: "finishing a step",
  paused: "paused",
  playing: "playing",
  done: "trained",
  failed: "stopped",
};

/** The controls of a demo's section. */
export class Panel<Name extends DemoName> {
  readonly #demo: Name;
  readonly #section: HTMLElement;
  readonly #view: View<Name>;
  readonly #client: DemoClient<Name>;
  /** Where the policy can be watched. */
  readonly #playButton: HTMLButtonElement | null;
  #state: State = "idle";
  #isUsable = false;

  constructor(section: HTMLElement, demo: Name, makeView: (panel: Panel<Name>) => View<Name>) {
    this.#section = section;
    this.#demo = demo;
    this.#client = new DemoClient(demo, (report) => this.#hear(report));
    this.#view = makeView(this);
    this.#button("start").onclick = () => this.#start();
    this.#button("over").onclick = () => this.#startOver();
    this.#button("keep").onclick = () => this.send({ type: "keep" });
    this.#button("download").onclick = () => this.send({ type: "download" });
    const play = section.querySelector<HTMLButtonElement>('[data-part="play"]');
    if (play) play.onclick = () => this.#togglePlay();
    this.#playButton = play;
    for (const input of this.#paces()) input.onchange = () => this.#sendPace();
    this.#become("idle");
    void this.#listKept();
  }

  get state(): State {
    return this.#state;
  }

  get section(): HTMLElement {
    return this.#section;
  }

  readonly send: DemoClient<Name>["send"] = (command) => this.#client.send(command);

  /** There is a GPU: training may begin. */
  allow(): void {
    this.#isUsable = true;
    this.#become(this.#state);
    void this.#listKept();
  }

  #start(): void {
    if (this.#state === "training") {
      this.#become("pausing");
      this.send({ type: "pause" });
    } else if (this.#state === "idle" || this.#state === "failed") {
      this.#open(this.#seed());
    } else this.send({ type: "train" });
  }

  #startOver(): void {
    this.#client.close();
    this.#view.clear();
    this.#hideNotice();
    this.#become("idle");
  }

  #togglePlay(): void {
    if (this.#state === "playing") this.send({ type: "pause" });
    else this.send({ type: "play" });
  }

  #open(seed: number, checkpoint?: number): void {
    this.#hideNotice();
    this.#view.clear();
    part(this.#section, "seed", HTMLInputElement).value = String(seed);
    this.#become("opening");
    this.#client.open(seed, checkpoint);
    this.#sendPace();
    // what was kept is shown first: the reader says when it goes on
    if (checkpoint === undefined) this.send({ type: "train" });
    else this.send({ type: "pause" });
  }

  #hear(report: Report<Name>): void {
    switch (report.type) {
      case "progress":
        this.#view.progress(report.progress);
        return;
      case "doing":
        this.#become(report.activity);
        return;
      case "kept":
        part(this.#section, "kept-problem", HTMLElement).textContent = report.problem
          ? `Nothing can be kept in this browser: ${report.problem}`
          : "";
        void this.#listKept();
        return;
      case "file":
        saveFile(report.name, report.bytes);
        return;
      case "failed":
        this.#client.close();
        this.#become("failed");
        showNotice(
          part(this.#section, "notice", HTMLElement),
          failureWords(report.code, report.message),
        );
        void this.#listKept();
    }
  }

  #become(state: State): void {
    this.#state = state;
    const isOpen = state !== "idle" && state !== "failed";
    const isBusy = state === "opening" || state === "pausing";
    const start = this.#button("start");
    start.textContent = START[state];
    start.disabled = !this.#isUsable || isBusy || state === "done";
    this.#button("over").hidden = !isOpen || isBusy || state === "training";
    for (const name of ["keep", "download"]) this.#button(name).disabled = !isOpen || isBusy;
    const isPlaying = state === "playing";
    this.#playButton?.toggleAttribute("disabled", !isOpen || isBusy || state === "training");
    this.#playButton?.setAttribute("aria-pressed", String(isPlaying));
    part(this.#section, "seed", HTMLInputElement).disabled = isOpen;
    part(this.#section, "status", HTMLElement).textContent = STATUS[state];
    this.#section.dataset["state"] = state;
  }

  #sendPace(): void {
    const pace = this.#paces().find(({ checked }) => checked)?.value ?? "";
    this.send({ type: "pace", stepMs: this.#view.stepMs(pace) });
  }

  async #listKept(): Promise<void> {
    const kept = await keptCheckpoints(this.#demo).catch(() => []);
    const rows = kept.map((checkpoint) => this.#keptRow(checkpoint));
    const host = part(this.#section, "kept", HTMLElement);
    host.replaceChildren(...rows);
    host.hidden = rows.length === 0;
  }

  #keptRow(kept: KeptCheckpoint): HTMLElement {
    const resume = element("button", "link", "bring back");
    resume.disabled = !this.#isUsable;
    resume.onclick = () => {
      if (this.#state !== "training" || confirm("Leave the run that goes on now?"))
        this.#open(kept.seed, kept.id);
    };
    const when = new Date(kept.keptAt).toLocaleTimeString([], { timeStyle: "short" });
    const text = element("span", "", `seed ${kept.seed} · ${kept.label} · ${when}`);
    return element("li", "", text, resume);
  }

  #hideNotice(): void {
    part(this.#section, "notice", HTMLElement).hidden = true;
  }

  #seed(): number {
    const { value } = part(this.#section, "seed", HTMLInputElement);
    const seed = Math.floor(Number(value));
    return seed >= 0 && seed < 2 ** 32 ? seed : 1;
  }

  #button(name: string): HTMLButtonElement {
    return part(this.#section, name, HTMLButtonElement);
  }

  #paces(): HTMLInputElement[] {
    return [...this.#section.querySelectorAll<HTMLInputElement>('[data-part="pace"] input')];
  }
}

function saveFile(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = element("a", "");
  link.href = url;
  link.download = name;
  link.click();
  // the browser reads it after the click
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
