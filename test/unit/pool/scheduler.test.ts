import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Scheduler, type SchedulerOptions } from "../../../src/pool/scheduler.ts";
import { codeOf, errorOf } from "../../support/errors.ts";
import { type Simulated, simulate } from "./schedule-simulation.ts";

const settings = fc
  .record({ slots: fc.integer({ min: 1, max: 12 }), p: fc.nat(11), w: fc.nat(12) })
  .map(
    ({ slots, p, w }): Required<Pick<SchedulerOptions, "slots" | "groupsPerStep" | "window">> => ({
      slots,
      groupsPerStep: 1 + (p % slots),
      window: 1 + (w % slots),
    }),
  );

/** Random choices drive a scheduler; what it does is checked against the invariants after each. */
function drive(
  options: SchedulerOptions,
  choices: readonly number[],
  scheduler = new Scheduler(options),
) {
  const [n, w, p] = [scheduler.slots, scheduler.window, scheduler.groupsPerStep];
  const log: string[] = [];
  let inStep = 0;
  for (const choice of choices) {
    const { running } = scheduler;
    const kind = choice % 8;
    const chosen = running[(choice >> 3) % Math.max(1, running.length)];
    if (kind < 2) log.push(`admit ${scheduler.admit()?.id}`);
    else if (chosen && kind < 4) scheduler.finish(chosen.id);
    else if (chosen && kind === 4) scheduler.bury(chosen.id);
    else if (inStep < p) {
      const { head, consumed, version, visible } = scheduler;
      const ticket = scheduler.take();
      log.push(`take ${ticket?.id}`);
      expect(ticket?.id).toBe(visible[0]);
      if (!ticket) continue;
      expect(ticket.id).toBeGreaterThanOrEqual(head); // (a)
      expect(ticket.id).toBeLessThanOrEqual(head + w - 1);
      expect(Math.abs(consumed - ticket.id)).toBeLessThanOrEqual(w - 1); // (b)
      expect(consumed - ticket.consumed).toBeLessThanOrEqual(n + w - 2); // (c)
      expect(version - ticket.version).toBeLessThanOrEqual(Math.floor((n + w - 2) / p));
      inStep++;
      if (kind === 7) {
        scheduler.drop(ticket.id);
        inStep--;
      }
    }
    if (inStep === p) {
      scheduler.stepped();
      inStep = 0;
    }
    expect(scheduler.inFlight).toBeLessThanOrEqual(n); // (d)
  }
  return { scheduler, log };
}

const choices = fc.array(fc.nat(1023), { minLength: 20, maxLength: 200 });

describe("Scheduler", () => {
  it("FEATURE 9: windowed FIFO is exact: the worked trace of Forge's figure 5", () => {
    const { order, scheduler } = simulate({ slots: 8, window: 4, groups: 30 }, (id) =>
      id === 7 ? 100 : 1,
    );
    expect(order.slice(0, 14)).toEqual([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 7, 11, 12, 13]);
    expect(scheduler.lag.groups.max).toBe(10);
    expect(scheduler.lag.groups.bound).toBe(10);
  });

  it("shows each moment of the trace: head, what is visible, what is blocked", () => {
    const scheduler = new Scheduler({ slots: 8, window: 4 });
    const admit = (): void => {
      for (let t = scheduler.admit(); t; t = scheduler.admit())
        if (t.id !== 7) scheduler.finish(t.id);
    };
    admit();
    expect([scheduler.head, scheduler.visible]).toEqual([0, [0, 1, 2, 3]]);
    for (let i = 0; i < 7; i++) {
      expect(scheduler.take()?.id).toBe(i);
      expect([scheduler.stepped(), scheduler.admit()]).toEqual([
        i + 1,
        { id: 8 + i, version: i + 1, consumed: i + 1 },
      ]);
      scheduler.finish(8 + i);
    }
    expect([scheduler.head, scheduler.visible]).toEqual([7, [8, 9, 10]]);
    for (const id of [8, 9, 10]) {
      expect(scheduler.take()?.id).toBe(id);
      scheduler.stepped();
      admit();
    }
    expect(scheduler.next).toBe(18);
    expect([scheduler.head, scheduler.visible, scheduler.take()]).toEqual([7, [], undefined]);
    scheduler.finish(7);
    expect(scheduler.take()).toEqual({ id: 7, version: 0, consumed: 0 });
    expect(scheduler.lag.groups.max).toBe(10);
    expect([scheduler.head, scheduler.visible]).toEqual([11, [11, 12, 13, 14]]);
  });

  it("FEATURE 9 and 10: holds its invariants in 3,000 random schedules with drops and tombstones", () => {
    fc.assert(
      fc.property(settings, choices, (options, list) => {
        const { lag } = drive(options, list).scheduler;
        expect(lag.groups.max).toBeLessThanOrEqual(lag.groups.bound);
        expect(lag.steps.max).toBeLessThanOrEqual(lag.steps.bound);
      }),
      { numRuns: 3000 },
    );
  });

  it("FEATURE 9: a window of 1 is FIFO, and head + W is never taken", () => {
    const { order } = simulate(
      { slots: 5, window: "strict", groups: 40 },
      (id) => 1 + ((id * 7) % 11),
    );
    expect(order).toEqual(order.map((_, i) => i));
    const scheduler = new Scheduler({ slots: 8, window: 4 });
    for (let i = 0; i < 8; i++) scheduler.admit();
    scheduler.finish(4);
    expect(scheduler.take()).toBeUndefined();
    scheduler.finish(3);
    expect(scheduler.take()?.id).toBe(3);
  });

  it("FEATURE 10: frees slots only when the step's weights are live", () => {
    const scheduler = new Scheduler({ slots: 4, groupsPerStep: 2, window: 4 });
    for (let i = 0; i < 4; i++) scheduler.finish(scheduler.admit()?.id as number);
    scheduler.take();
    expect(scheduler.admit()).toBeUndefined();
    expect(codeOf(() => scheduler.stepped())).toBe("state_conflict");
    scheduler.take();
    expect(scheduler.admit()).toBeUndefined();
    expect(codeOf(() => scheduler.take())).toBe("state_conflict");
    expect(scheduler.stepped()).toBe(1);
    expect(scheduler.admit()).toEqual({ id: 4, version: 1, consumed: 2 });
  });

  it("FEATURE 11: tombstones and dropped groups move the head on, without a deadlock", async () => {
    const scheduler = new Scheduler({ slots: 3, window: 2, groups: 6 });
    for (let i = 0; i < 3; i++) scheduler.admit();
    const taken = scheduler.whenTaken();
    const admitted = scheduler.whenAdmitted();
    scheduler.bury(2); // beyond the window: it waits
    expect([scheduler.head, scheduler.consumed, scheduler.inFlight]).toEqual([0, 0, 3]);
    scheduler.bury(0);
    expect([scheduler.head, scheduler.consumed]).toEqual([1, 2]);
    expect((await admitted)?.id).toBe(3);
    scheduler.finish(1);
    expect((await taken)?.id).toBe(1);
    scheduler.drop(1);
    expect([scheduler.head, scheduler.inFlight]).toEqual([3, 1]);
    for (const id of [4, 5]) expect((await scheduler.whenAdmitted())?.id).toBe(id);
    const none = scheduler.whenTaken();
    for (const id of [5, 4, 3]) scheduler.bury(id);
    expect([await none, await scheduler.whenAdmitted()]).toEqual([undefined, undefined]);
  });

  it("FEATURE 12: the window trades idle time against lag: strict, 0.3, N, greedy", () => {
    // log-normal by Box and Muller over a Weyl sequence
    const duration = (id: number): number => {
      const [u, v] = [((id + 1) * 0.7548776662) % 1, ((id + 1) * 0.5698402909) % 1];
      return Math.exp(1.2 * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v));
    };
    const runs = (["strict", 0.3, 64, "greedy"] as const).map((window) =>
      simulate({ slots: 64, groupsPerStep: 8, window, groups: 4096 }, duration),
    );
    expect(runs.map((run) => run.scheduler.lag.groups.bound)).toEqual([
      63,
      81,
      126,
      Number.POSITIVE_INFINITY,
    ]);
    expect(runs.slice(0, 3).map((run) => run.scheduler.lag.groups.max)).toEqual([63, 81, 126]);
    expect(runs.slice(0, 3).map((run) => run.scheduler.lag.steps.max)).toEqual([7, 10, 15]);
    const [strict, windowed, wide, greedy] = runs as [Simulated, Simulated, Simulated, Simulated];
    expect(greedy.scheduler.lag.groups.max).toBeGreaterThan(360);
    // the published simulation: 1.1 to 1.2, 1.2 to 1.65, 2 to 9 times as fast as strict FIFO
    const gain = (run: Simulated): number => strict.makespan / run.makespan;
    expect(gain(windowed)).toBeGreaterThan(1.1);
    expect(gain(windowed)).toBeLessThan(1.2);
    expect(gain(wide)).toBeGreaterThan(1.2);
    expect(gain(wide)).toBeLessThan(1.65);
    expect(gain(greedy)).toBeGreaterThan(2);
    expect(gain(greedy)).toBeLessThan(9);
    // share of slot time without work: 87 %, 85 %, 81 %, 23 %
    for (const [i, idle] of [0.874, 0.854, 0.806, 0.231].entries())
      expect(runs[i]?.idle).toBeCloseTo(idle, 2);
    // greedy takes the short ones first: its first half is shorter than its second
    const skew = ({ order }: Simulated): number => {
      const sum = (ids: readonly number[]): number => ids.reduce((s, id) => s + duration(id), 0);
      return sum(order.slice(0, 512)) / sum(order.slice(512, 1024));
    };
    expect(Math.abs(Math.log(skew(windowed)))).toBeLessThan(Math.abs(Math.log(skew(greedy))));
  });

  it("FEATURE 12: takes the window as a share, floored and at least 1, or as a count", () => {
    const of = (slots: number, window?: number): number =>
      new Scheduler({ slots, ...(window && { window }) }).window;
    expect([of(64), of(10), of(3), of(8, 0.5), of(8, 8)]).toEqual([19, 3, 1, 4, 8]);
    for (const bad of [-1, 1.5, 9, Number.NaN])
      expect(codeOf(() => new Scheduler({ slots: 8, window: bad }))).toBe("argument_invalid");
    expect(codeOf(() => new Scheduler({ slots: 0 }))).toBe("argument_invalid");
    expect(codeOf(() => new Scheduler({ slots: 2, groupsPerStep: 3 }))).toBe("argument_invalid");
  });

  it("refuses what cannot be, and forgets who gave up waiting", async () => {
    const scheduler = new Scheduler({ slots: 1 });
    scheduler.admit();
    scheduler.finish(0);
    for (const bad of [() => scheduler.finish(0), () => scheduler.bury(1), () => scheduler.drop(0)])
      expect(codeOf(bad)).toBe("state_conflict");
    const controller = new AbortController();
    const waiting = scheduler.whenAdmitted(controller.signal);
    controller.abort(new Error("enough"));
    expect((await errorOf(waiting)).message).toBe("enough");
    scheduler.take();
    scheduler.stepped();
    expect(scheduler.admit()?.id).toBe(1);
  });

  it("goes on from a checkpoint exactly as it would have", () => {
    fc.assert(
      fc.property(settings, choices, choices, (options, before, after) => {
        const { scheduler } = drive(options, [...before, ...finishStep(options, before)]);
        const text = JSON.stringify(scheduler.snapshot());
        const again = Scheduler.restore(options, JSON.parse(text));
        expect(JSON.stringify(again.snapshot())).toBe(text);
        if (scheduler.snapshot().taken.length > 0) return;
        const [a, b] = [drive(options, after, scheduler), drive(options, after, again)];
        expect(b.log).toEqual(a.log);
        expect(b.scheduler.snapshot()).toEqual(a.scheduler.snapshot());
      }),
    );
  });

  it("refuses checkpoints of other sizes, and damaged ones", () => {
    const scheduler = new Scheduler({ slots: 4 });
    scheduler.admit();
    const snapshot = scheduler.snapshot();
    const restored = (change: object, slots = 4) =>
      codeOf(() => Scheduler.restore({ slots }, { ...snapshot, ...change }));
    expect(restored({}, 5)).toBe("argument_invalid");
    for (const damage of [
      { format: 2 },
      { next: 0 },
      { consumed: 3 },
      { waiting: null },
      { lags: null },
    ])
      expect(restored(damage), JSON.stringify(damage)).toBe("checkpoint_invalid");
  });
});

/** Choices that take and finish until a step is likely to be over. */
function finishStep({ slots }: SchedulerOptions, seed: readonly number[]): number[] {
  return Array.from({ length: 4 * slots }, (_, i) => [0, 2, 5, 5][(i + seed.length) % 4] as number);
}
