import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createTrainView,
  type TrainView,
  type TrainViewOptions,
} from "../../../src/train/run/train-view.ts";

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubEnv("TERM", "xterm");
  vi.stubEnv("CI", undefined);
  vi.stubEnv("NO_COLOR", undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

const ESCAPE = "\x1b";
/** Sequences, ends of lines, and what is between. */
const PARTS = new RegExp(`${ESCAPE}\\[\\d*[A-Za-z]|[\\n\\r]|[^${ESCAPE}\\n\\r]+`, "g");
const UP = new RegExp(`^${ESCAPE}\\[(\\d+)A$`);

/** A terminal that understands what the view writes, and wraps lines anew when it is resized. */
class Terminal {
  isTTY = true;
  columns: number;
  rows = 30;
  written = "";
  writes = 0;
  /** Lines as written; those that do not fit take several rows. The cursor is at the start of a row. */
  #lines: string[] = [""];

  constructor(columns = 80) {
    this.columns = columns;
  }

  write(text: string): void {
    this.written += text;
    this.writes++;
    for (const [part] of text.matchAll(PARTS)) this.#take(part);
  }

  #take(part: string): void {
    const up = UP.exec(part)?.[1];
    if (up !== undefined) this.#up(Number(up));
    else if (part === "\n") this.#lines.push("");
    else if (part === "\r" || part === "\x1b[J") return;
    else if (part.startsWith(ESCAPE)) throw new Error(`unknown sequence ${JSON.stringify(part)}`);
    else this.#lines[this.#lines.length - 1] += part;
  }

  /** The view clears what is below at once, so lines that the cursor goes above are gone. */
  #up(rows: number): void {
    let left = rows;
    this.#lines.pop();
    while (left > 0)
      left -= Math.max(1, Math.ceil((this.#lines.pop() ?? "").length / this.columns));
    expect(left, "the cursor stops at the start of a line").toBe(0);
    this.#lines.push("");
  }

  screen(): readonly string[] {
    return this.#lines;
  }
}

function open(stream: Terminal, options: Partial<TrainViewOptions> = {}): TrainView {
  return createTrainView({ stream, steps: 10, ...options });
}

const metrics = {
  "reward/mean": 0.5,
  "rollout/success_rate": 0.25,
  "throughput/rollout_tokens_per_s": 1234,
  "throughput/train_tokens_per_s": 45_678,
  "mismatch/kl": 3e-9,
  "lag/mean": 1.25,
  "lag/max": 3,
  "charts/learning_rate": 1e-6,
  "losses/policy_loss": 0.1,
};

/** Steps of a second each. */
function run(view: TrainView, from: number, to: number): void {
  for (let step = from; step <= to; step++) {
    view.phase("sampling", `${step} of 64 episodes`);
    vi.advanceTimersByTime(1000);
    view.step(step, { ...metrics, "reward/mean": step / 10 });
  }
}

describe("on a terminal", () => {
  it("shows progress, phase, figures and the curve, drawn over themselves", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    run(view, 1, 4);
    view.phase("training");
    vi.advanceTimersByTime(400);
    const [progress, phase, ...rest] = terminal.screen();
    expect(progress).toMatch(/^step 4 of 10 {2}━{16}┄{24} {3}40 % {2}0:06 left$/);
    expect(phase).toBe("training  0:00");
    expect(rest.slice(0, 2)).toEqual([
      "reward        0.40  success       25 %  mismatch kl 3.0e-9  lag mean      1.25",
      "lag max          3  rollout t/s  1.23k  train t/s    45.7k  lr          1.0e-6",
    ]);
    expect(rest[2]).toMatch(/^0\.40 ┤[⠀-⣿]+$/);
    expect(rest[5]).toMatch(/^0\.10 ┤[⠀-⣿]+$/);
    expect(rest.slice(6)).toEqual(["reward/mean, steps 1 to 4", ""]);
    view.end();
  });

  it("has a clock that goes on, and counts down, while a step takes its time", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    run(view, 1, 2);
    view.phase("evaluating", "3 of 20\ntasks\x1b[2J");
    vi.advanceTimersByTime(3000);
    expect(terminal.screen()[0]).toMatch(/0:05 left$/);
    expect(terminal.screen()[1]).toBe("evaluating  3 of 20 tasks [2J  0:03");
    view.phase("evaluating", "4 of 20 tasks");
    vi.advanceTimersByTime(2000);
    expect(terminal.screen()[1]).toBe("evaluating  4 of 20 tasks  0:05");
    view.end();
  });

  it.each([20, 24, 40, 60, 80, 200])("fits into %i columns", (columns) => {
    const terminal = new Terminal(columns);
    const view = open(terminal);
    run(view, 1, 3);
    view.warn("7 of 8 groups got the same reward: nothing to learn from");
    vi.advanceTimersByTime(1000);
    const lines = terminal.screen();
    for (const line of lines) expect(line.length).toBeLessThan(columns);
    expect(lines.join(" ").replace(/\s+/g, " ")).toContain(
      "warning 7 of 8 groups got the same reward: nothing to learn from",
    );
    view.end();
  });

  it("stays whole when the window changes, and in a low one", () => {
    const terminal = new Terminal(100);
    const view = open(terminal);
    run(view, 1, 2);
    for (const columns of [50, 33, 90]) {
      terminal.columns = columns;
      run(view, 3, 3);
      expect(terminal.screen().filter((line) => line.startsWith("step "))).toHaveLength(1);
    }
    terminal.rows = 4;
    run(view, 4, 4);
    terminal.written = "";
    run(view, 5, 5);
    expect(terminal.written).toContain("\x1b[3A");
    expect(terminal.written).not.toContain("reward/mean");
    view.end();
  });

  it("writes warnings above itself, where they stay", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    run(view, 1, 2);
    view.warn("first");
    run(view, 3, 4);
    view.warn("second");
    view.end("trained");
    const lines = terminal.screen();
    expect(lines.slice(0, 2)).toEqual(["warning  first", "warning  second"]);
    expect(lines[2]).toMatch(/^step 4 of 10/);
    expect(lines.slice(-3)).toEqual(["reward/mean, steps 1 to 4", "trained", ""]);
  });

  it("never hides the cursor, and leaves it below the block at every moment", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    run(view, 1, 3);
    expect(terminal.written).not.toContain("\x1b[?25l");
    expect(terminal.written.endsWith("\n")).toBe(true);
    view.end();
  });

  it("draws no more once it has ended, and nothing twice", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    run(view, 1, 2);
    vi.advanceTimersByTime(200);
    const before = terminal.writes;
    vi.advanceTimersByTime(600);
    expect(terminal.writes - before).toBeLessThan(3);
    view.end("trained");
    const { written } = terminal;
    vi.advanceTimersByTime(10_000);
    expect(terminal.written).toBe(written);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("goes on with the curve and the count of a resumed run, at the new pace", () => {
    const terminal = new Terminal();
    const history = [1, 2, 3].map((step) => ({ step, wallTime: step, metrics }));
    const view = open(terminal);
    view.goOn(history);
    expect(terminal.screen()[0]).toMatch(/^step 3 of 10 .* 30 %$/);
    run(view, 4, 5);
    expect(terminal.screen()[0]).toMatch(/0:05 left$/);
    expect(terminal.screen()).toContain("reward/mean, steps 1 to 5");
    view.end();
  });

  it("keeps what is not measured at every step", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    view.step(0, { "eval/pass_at_1": 0.125 });
    run(view, 1, 2);
    expect(terminal.screen().join("\n")).toMatch(/eval pass@1 +13 %/);
    view.end();
  });

  it("draws the loss where there is no reward", () => {
    const terminal = new Terminal();
    const view = open(terminal);
    for (const step of [1, 2]) view.step(step, { "losses/loss": 1 / step });
    expect(terminal.screen()).toContain("losses/loss, steps 1 to 2");
    view.end();
  });
});

describe("elsewhere", () => {
  it.each([
    ["a pipe", (terminal: Terminal) => void Object.assign(terminal, { isTTY: false })],
    ["NO_COLOR", () => void vi.stubEnv("NO_COLOR", "1")],
    ["CI", () => void vi.stubEnv("CI", "true")],
    ["a dumb terminal", () => void vi.stubEnv("TERM", "dumb")],
  ])("writes a line a step: %s", (_, arrange) => {
    const terminal = new Terminal();
    arrange(terminal);
    const view = open(terminal);
    view.step(0, { "eval/pass_at_1": 0.5 });
    run(view, 1, 1);
    view.warn("look");
    run(view, 2, 2);
    view.end("trained");
    expect(terminal.written.split("\n")).toEqual([
      "step 0 of 10  eval pass@1 50 %",
      "step 1 of 10  reward 0.10  success 25 %  mismatch kl 3.0e-9  lag mean 1.25  lag max 3  rollout t/s 1.23k  train t/s 45.7k  lr 1.0e-6  0:09 left",
      "warning  look",
      "step 2 of 10  reward 0.20  success 25 %  mismatch kl 3.0e-9  lag mean 1.25  lag max 3  rollout t/s 1.23k  train t/s 45.7k  lr 1.0e-6  0:08 left",
      "trained",
      "",
    ]);
  });

  it("takes the caller's word for what the stream is", () => {
    const terminal = new Terminal();
    open(terminal, { isTty: false }).step(1, {});
    expect(terminal.written).toMatch(/^step 1 of 10 .*\n$/);
  });

  it("shows warnings only when it is to be quiet", () => {
    const terminal = new Terminal();
    const view = open(terminal, { isQuiet: true });
    run(view, 1, 2);
    view.warn("look");
    view.end("trained");
    expect(terminal.written).toBe("warning  look\n");
  });
});
