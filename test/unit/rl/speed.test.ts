import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compositeReward } from "../../../src/rl/reward/composite.ts";
import { SpeedBaselines, speedReward } from "../../../src/rl/reward/speed.ts";
import { criticalPath, type Span } from "../../../src/rl/reward/virtual-clock.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

const won = (seconds: number) => ({ seconds, succeeded: true });
const lost = (seconds: number) => ({ seconds, succeeded: false });

describe("FEATURE 29: speed reward with relative baseline, success gate, tool and sub-agent time", () => {
  const ask = (after: number[]): Span => ({ after, tokens: 100 });
  const tool = (after: number[]): Span => ({ after, seconds: 3 });
  const subAgent = (after: number[]): Span => ({ after, tokens: 200, seconds: 1 });

  /** The same three calls, one after the other and side by side. */
  const serial = [ask([]), tool([0]), tool([1]), subAgent([2]), ask([3])];
  const parallel = [ask([]), tool([0]), tool([0]), subAgent([0]), ask([1, 2, 3])];

  it("pays parallel calls more than serial ones at equal correctness", () => {
    const attempts = [serial, parallel].map((spans) => won(criticalPath(spans, 0.01)));
    expectClose(
      attempts.map(({ seconds }) => seconds),
      [1 + 3 + 3 + 3 + 1, 1 + 3 + 1],
      CLOSE,
    );
    const baseline = new SpeedBaselines().take("task", attempts);
    expect(baseline).toBe(8);
    const totals = attempts.map((attempt) =>
      compositeReward({ process: [0], performance: 1, speed: speedReward(attempt, baseline) }).at(
        -1,
      ),
    );
    expectClose(totals.map(Number), [1 - 0.1 * (3 / 8), 1 + 0.1 * (3 / 8)], CLOSE);
  });

  it("never lets failing fast beat succeeding slow", () => {
    const time = fc.double({ min: 0, max: 1e6, noNaN: true });
    const positive = fc.double({ min: 1e-3, max: 1e6, noNaN: true });
    const beta = fc.double({ min: 0, max: 0.99, noNaN: true });
    fc.assert(
      fc.property(time, time, positive, beta, (fast, slow, baseline, speed) => {
        const total = (attempt: ReturnType<typeof won>) =>
          compositeReward(
            {
              process: [0],
              performance: Number(attempt.succeeded),
              speed: speedReward(attempt, baseline),
            },
            { speed },
          ).at(-1) as number;
        expect(total(won(slow))).toBeGreaterThan(total(lost(fast)));
      }),
    );
  });
});

describe("the speed reward", () => {
  it("falls from 1 to −1 at twice the baseline, and stays there", () => {
    const of = [0, 2, 4, 8, 80].map((seconds) => speedReward(won(seconds), 4));
    expect(of).toEqual([1, 0.5, 0, -1, -1]);
  });

  it("is 0 for failures, and unknown without a baseline", () => {
    expect([speedReward(lost(0), 4), speedReward(lost(0), undefined)]).toEqual([0, 0]);
    expect(speedReward(won(1), undefined)).toBeNull();
  });

  it("refuses times that are none", () => {
    expect(codeOf(() => speedReward(won(-1), 4))).toBe("argument_invalid");
    expect(codeOf(() => speedReward(lost(Number.NaN), 4))).toBe("non_finite");
    expect(codeOf(() => speedReward(won(1), 0))).toBe("argument_invalid");
    expect(codeOf(() => speedReward(won(1), Number.NaN))).toBe("non_finite");
  });
});

describe("baselines of time", () => {
  it("are the median success of the group, whatever came before", () => {
    const baselines = new SpeedBaselines();
    baselines.take("a", [won(100)]);
    expect(baselines.take("a", [won(1), lost(50), won(3), won(9)])).toBe(3);
    expect(baselines.take("b", [won(2), won(4)])).toBe(3);
  });

  it("fall back on the task's latest successes, within the window", () => {
    const baselines = new SpeedBaselines({ window: 3 });
    expect(baselines.take("a", [lost(1)])).toBeUndefined();
    baselines.take("a", [won(1000), won(10), won(20)]);
    baselines.take("a", [won(15)]);
    expect(baselines.take("a", [lost(1)])).toBe(15);
    expect(baselines.take("b", [lost(1)])).toBeUndefined();
  });

  it("compare a lone success with earlier ones where two are asked for", () => {
    const baselines = new SpeedBaselines({ minimum: 2 });
    baselines.take("a", [won(10), won(20)]);
    expect(baselines.take("a", [won(2), lost(1)])).toBe(10);
    expect(new SpeedBaselines({ minimum: 2 }).take("a", [won(2)])).toBe(2);
  });

  it("go on from their state", () => {
    const first = new SpeedBaselines();
    first.take("a", [won(5), won(7)]);
    const resumed = new SpeedBaselines({}, JSON.parse(JSON.stringify(first.state)));
    expect(resumed.take("a", [])).toBe(6);
  });

  it("refuse windows and minima that are no counts, and times that are none", () => {
    expect(codeOf(() => new SpeedBaselines({ window: 0 }))).toBe("argument_invalid");
    expect(codeOf(() => new SpeedBaselines({ minimum: 1.5 }))).toBe("argument_invalid");
    expect(codeOf(() => new SpeedBaselines().take("a", [lost(-1)]))).toBe("argument_invalid");
  });
});

describe("the critical path", () => {
  it("does not count what waits for nothing and is waited for by nothing longer", () => {
    const spans = [
      { after: [], seconds: 2 },
      { after: [], tokens: 30 },
      { after: [0], tokens: 5 },
    ];
    expectClose([criticalPath(spans, 0.1)], [3], CLOSE);
    expect(criticalPath([], 1)).toBe(0);
  });

  it("refuses spans out of order and times below 0", () => {
    expect(codeOf(() => criticalPath([{ after: [0] }], 1))).toBe("argument_invalid");
    expect(codeOf(() => criticalPath([{ after: [-1] }], 1))).toBe("argument_invalid");
    expect(codeOf(() => criticalPath([{ after: [], seconds: -1 }], 1))).toBe("argument_invalid");
    expect(codeOf(() => criticalPath([{ after: [], seconds: Number.NaN }], 1))).toBe("non_finite");
  });
});
