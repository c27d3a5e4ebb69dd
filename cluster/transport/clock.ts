/** Time, so that tests can hold it still. */

/** What the transport knows of time. */
export interface Clock {
  /** Milliseconds from any origin; never goes back. */
  now(): number;
  /** Milliseconds since 1970, which machines agree on by and large. */
  wall(): number;
  /** Calls after so many milliseconds, once; what it returns calls it off. Keeps no process alive. */
  after(ms: number, call: () => void): () => void;
}

/** This machine's. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
};
