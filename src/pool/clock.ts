/** Time as the pool sees it: the wall, or the count of decode steps where runs must repeat. */

/** A clock. Its unit is whatever deadlines are given in. */
export interface Clock {
  now(): number;
  /** Calls back once, at `time` or after, never before this returns. The result calls it off. */
  at(time: number, call: () => void): () => void;
}

/** `setTimeout` counts in 31 bits; what lies beyond is waited for in pieces. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds since 1970. Its timers keep no process alive. */
export function wallClock(): Clock {
  return {
    now: () => Date.now(),
    at(time, call) {
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        const left = Math.max(0, time - Date.now());
        const isLast = left <= LONGEST_TIMER_MS;
        timer = setTimeout(isLast ? call : arm, isLast ? left : LONGEST_TIMER_MS);
        // a number in browsers
        timer.unref?.();
      };
      arm();
      return () => clearTimeout(timer);
    },
  };
}

/** A clock that somebody moves: by decode steps in a deterministic run, by events in a simulation. */
export class ManualClock implements Clock {
  #now: number;
  readonly #alarms = new Set<{ readonly time: number; readonly call: () => void }>();

  constructor(now = 0) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  at(time: number, call: () => void): () => void {
    const alarm = { time, call };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Moves on, never back, and stops at each alarm on the way: earliest first, equal ones in the order they were set. */
  advanceTo(time: number): void {
    for (let next = this.#next(time); next; next = this.#next(time)) {
      this.#alarms.delete(next);
      this.#now = Math.max(this.#now, next.time);
      next.call();
    }
    this.#now = Math.max(this.#now, time);
  }

  #next(until: number): { readonly time: number; readonly call: () => void } | undefined {
    let next: { readonly time: number; readonly call: () => void } | undefined;
    for (const alarm of this.#alarms)
      if (alarm.time <= until && (!next || alarm.time < next.time)) next = alarm;
    return next;
  }
}
