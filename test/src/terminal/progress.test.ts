import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Progress, type ProgressOptions } from "../../../src/terminal/progress.ts";
import { amountText, bytesText, clockText } from "../../../src/terminal/units.ts";

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubEnv("TERM", "xterm");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

/** A stream that keeps what is written, and shows what of it a terminal would show. */
class FakeStream {
  readonly isTTY: boolean;
  columns: number;
  written = "";

  constructor(isTTY: boolean, columns = 80) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.written += text;
  }

  /** The lines as they stand. Each must fit, as nothing is drawn over a line that wraps. */
  screen(): readonly string[] {
    return this.written.split("\n").map((line) => {
      let shown = "";
      for (const text of line.split("\r")) {
        const [drawn = "", ...rest] = text.split("\x1b[K");
        expect(drawn.length).toBeLessThan(this.columns);
        shown = (rest.length > 0 ? drawn : drawn + shown.slice(drawn.length)) + rest.join("");
      }
      return shown;
    });
  }
}

function started(stream: FakeStream, options: Partial<ProgressOptions> = {}): Progress {
  return new Progress({ label: "pull", total: 1000, unit: "B", stream, ...options });
}

/** Lets time go by at a constant rate. */
function run(progress: Progress, from: number, to: number, ms: number): void {
  for (let i = 1; i <= 10; i++) {
    progress.update(from + ((to - from) * i) / 10);
    vi.advanceTimersByTime(ms / 10);
  }
}

describe("Progress on a terminal", () => {
  it("draws one line over itself: share, amount, rate and remaining time", () => {
    const stream = new FakeStream(true);
    const progress = started(stream);
    expect(stream.screen()).toEqual([
      expect.stringMatching(/^pull {2}┄+ {4}0 % {2}0 B of 1.00 kB {2}waiting$/),
    ]);
    run(progress, 0, 250, 2500);
    const [line] = stream.screen();
    expect(line).toMatch(
      /^pull {2}━+┄+ {3}25 % {2}250 B of 1.00 kB {2}1\d\d B\/s {2}0:0[78] left$/,
    );
    const bar = /━+┄+/.exec(line ?? "")?.[0] ?? "";
    expect(bar.lastIndexOf("━") + 1).toBe(Math.floor(bar.length / 4));
  });

  it("takes the rate of the last seconds only, and nothing of what was done before", () => {
    const stream = new FakeStream(true, 120);
    const progress = started(stream, { total: 100_000, start: 50_000 });
    run(progress, 50_000, 50_100, 10_000);
    expect(stream.screen()[0]).toContain("10 B/s");
    run(progress, 50_100, 60_100, 10_000);
    expect(stream.screen()[0]).toMatch(/ 1.00 kB\/s {2}0:40 left$/);
    vi.advanceTimersByTime(10_000);
    expect(stream.screen()[0]).toMatch(/60.1 kB of 100 kB {2}waiting$/);
  });

  it("writes notes above itself", () => {
    const stream = new FakeStream(true);
    const progress = started(stream);
    progress.note("a note that is long enough to be longer than the line below it, which is hard");
    expect(stream.screen()).toEqual([
      expect.stringMatching(/hard$/),
      expect.stringMatching(/^pull /),
    ]);
  });

  it.each([40, 30, 12, 2])("fits into %i columns, without a bar if need be", (columns) => {
    const stream = new FakeStream(true, columns);
    const progress = started(stream, { label: "organisation/model" });
    run(progress, 0, 999, 5000);
    progress.done();
    expect(stream.screen()).toHaveLength(2);
  });

  it("ends with the summary in its place, and draws no more", () => {
    const stream = new FakeStream(true);
    const progress = started(stream);
    progress.done("all is there");
    progress.update(500);
    vi.advanceTimersByTime(10_000);
    expect(stream.screen()).toEqual(["all is there", ""]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("says 100 % only of all of it", () => {
    const stream = new FakeStream(true);
    const progress = started(stream, { total: 100_000 });
    progress.update(99_999);
    progress.done();
    expect(stream.screen()[0]).toContain(" 99 %");
  });
});

describe("Progress elsewhere", () => {
  it.each([false, true])("writes whole lines every few seconds (dumb terminal: %s)", (isDumb) => {
    if (isDumb) vi.stubEnv("TERM", "dumb");
    const stream = new FakeStream(isDumb);
    const progress = started(stream);
    progress.note("beginning");
    run(progress, 0, 500, 5000);
    run(progress, 500, 1000, 5000);
    progress.done();
    expect(stream.written).toBe(
      [
        "beginning",
        "pull  50 %  500 B of 1.00 kB  100 B/s  0:05 left",
        "pull  100 %  1.00 kB of 1.00 kB  100 B/s",
        "pull  100 %  1.00 kB of 1.00 kB  100 B/s",
        "",
      ].join("\n"),
    );
  });

  it("counts whatever there is to count", () => {
    const stream = new FakeStream(false);
    const progress = started(stream, { label: "train", total: 40, unit: "steps" });
    run(progress, 0, 10, 4000);
    vi.advanceTimersByTime(1000);
    progress.done("trained");
    expect(stream.written).toBe(
      "train  25 %  10 steps of 40 steps  2 steps/s  0:15 left\ntrained\n",
    );
  });
});

describe("units", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [999.6, "1.00 kB"],
    [1000, "1.00 kB"],
    [12_345, "12.3 kB"],
    [999_499, "999 kB"],
    [999_500, "1.00 MB"],
    [4_567_890_123, "4.57 GB"],
    [2 ** 60, "1.15 EB"],
    [1e22, "10000 EB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(bytesText(bytes)).toBe(text);
  });
  it.each([
    [12, "12 steps"],
    [0.123, "0.12 steps"],
    [9.996, "10.0 steps"],
    [1234.5, "1235 steps"],
  ])("%d steps are %s", (amount, text) => {
    expect(amountText(amount, "steps")).toBe(text);
  });
  it.each([
    [0.2, "0:00"],
    [59.6, "1:00"],
    [754, "12:34"],
    [3723, "1:02:03"],
    [360_000, "100:00:00"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(clockText(seconds)).toBe(text);
  });
});
