import { describe, expect, it } from "vitest";
import { Heartbeat } from "../../../../cluster/transport/heartbeat.ts";
import { DEFAULT_LIMITS, limitsOf } from "../../../../cluster/transport/limits.ts";
import { RateLimit } from "../../../../cluster/transport/rate-limit.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

describe("a heartbeat", () => {
  const beating = () => {
    const clock = new ManualClock();
    const log: string[] = [];
    const heartbeat = new Heartbeat({
      everyMs: 500,
      misses: 3,
      clock,
      ask: () => void log.push("ask"),
      onDead: () => void log.push("dead"),
    });
    return { clock, log, heartbeat };
  };

  it("is over after three beats without an answer, once", () => {
    const { clock, log } = beating();
    clock.advance(1_499);
    expect(log).toEqual(["ask", "ask", "ask"]);
    clock.advance(1);
    expect(log).toEqual(["ask", "ask", "ask", "dead"]);
    clock.advance(10_000);
    expect(log.length).toBe(4);
    expect(clock.pending).toBe(0);
  });

  it("goes on for ever with an answer in every three", () => {
    const { clock, log, heartbeat } = beating();
    for (let i = 0; i < 100; i++) {
      clock.advance(1_400);
      heartbeat.heard();
    }
    expect(log).not.toContain("dead");
  });

  it("counts a stall of our own as one beat", () => {
    const timers: (() => void)[] = [];
    let isDead = false;
    // a loop that was busy calls what is due late, once, and times the next from then
    const after = (_ms: number, call: () => void): (() => void) => {
      timers.push(call);
      return () => {};
    };
    new Heartbeat({
      everyMs: 500,
      misses: 3,
      clock: { now: () => 0, wall: () => 0, after },
      ask: () => {},
      onDead: () => {
        isDead = true;
      },
    });
    expect(timers.length).toBe(1);
    timers.shift()?.();
    expect(timers.length).toBe(1);
    expect(isDead).toBe(false);
  });

  it("leaves no timer when it is stopped", () => {
    const { clock, heartbeat } = beating();
    clock.advance(600);
    heartbeat.stop();
    expect(clock.pending).toBe(0);
  });
});

describe("a rate limit", () => {
  it("allows a burst, and then what the rate brings", () => {
    const clock = new ManualClock();
    const limit = new RateLimit(100, 10, clock);
    const taken = (): number => {
      let count = 0;
      while (limit.take()) count++;
      return count;
    };
    expect(taken()).toBe(10);
    clock.advance(50);
    expect(taken()).toBe(5);
    clock.advance(60_000);
    expect(taken()).toBe(10);
  });

  it("takes all or nothing", () => {
    const limit = new RateLimit(1, 10, new ManualClock());
    expect(limit.take(11)).toBe(false);
    expect(limit.take(10)).toBe(true);
    expect(limit.take()).toBe(false);
  });
});

describe("limits", () => {
  it("are the defaults but for what is given", () => {
    expect(limitsOf()).toEqual(DEFAULT_LIMITS);
    expect(limitsOf({ window: 3 })).toEqual({ ...DEFAULT_LIMITS, window: 3 });
  });

  it("are never so large that ws would take them for none, or so small that nothing fits", () => {
    for (const chunkBytes of [0, -1, 0.5, Number.NaN, 2 ** 31, 2 ** 32, Number.POSITIVE_INFINITY]) {
      expect(() => limitsOf({ chunkBytes }), String(chunkBytes)).toThrowError(/argument_invalid/);
    }
    expect(() => limitsOf({ chunkBytes: 2 ** 25 })).toThrowError(/bufferedBytes/);
    expect(limitsOf({ chunkBytes: 2 ** 25, bufferedBytes: 2 ** 26 }).chunkBytes).toBe(2 ** 25);
  });
});
