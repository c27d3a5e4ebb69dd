import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ManualClock, wallClock } from "../../../src/pool/clock.ts";

describe("wallClock", () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1000 }));
  afterEach(() => void vi.useRealTimers());

  it("calls at the time, at once for the past, and never what was called off", () => {
    const [clock, calls] = [wallClock(), [] as string[]];
    clock.at(1500, () => calls.push("late"));
    clock.at(0, () => calls.push("past"));
    clock.at(1200, () => calls.push("off"))();
    expect([clock.now(), calls]).toEqual([1000, []]);
    vi.advanceTimersByTime(499);
    expect(calls).toEqual(["past"]);
    vi.advanceTimersByTime(1);
    expect(calls).toEqual(["past", "late"]);
  });

  it("waits longer than a timer can", () => {
    const days = 60 * 86_400_000;
    let calls = 0;
    wallClock().at(1000 + days, () => calls++);
    vi.advanceTimersByTime(days - 1);
    expect(calls).toBe(0);
    vi.advanceTimersByTime(1);
    expect(calls).toBe(1);
  });
});

describe("ManualClock", () => {
  it("stops at each alarm on the way, also at those set on the way, and never goes back", () => {
    const clock = new ManualClock(5);
    const calls: number[] = [];
    clock.at(20, () => calls.push(clock.now()));
    clock.at(10, () => {
      calls.push(clock.now());
      clock.at(15, () => calls.push(clock.now()));
    });
    clock.at(12, () => calls.push(-1))();
    clock.advanceTo(30);
    clock.advanceTo(1);
    expect([calls, clock.now()]).toEqual([[10, 15, 20], 30]);
  });
});
