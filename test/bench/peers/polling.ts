/**
 * Paced polling for engines that know nothing of it. The npm package `webgpu` re-queues itself through
 * `globalThis.setImmediate` while a promise is pending, and so takes a core from a software adapter; here the global is
 * replaced for the whole process, on the schedule of `engine/gpu/polling.ts`.
 */

const SPIN_MS = 0.2;
const MAX_NAP_MS = 0.25;
const NAP_SHARE = 0.05;
/** A pause between two ticks that is longer than this means that another wait has begun. */
const NEW_WAIT_MS = 1;

/** Paces all waiting of this process from now on. */
export function pacePolling(): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const original = globalThis.setImmediate;
  let waitStart = 0;
  let last = 0;
  const paced = (tick: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    const now = performance.now();
    if (now - last > NEW_WAIT_MS) waitStart = now;
    last = now;
    const waited = now - waitStart;
    if (waited < SPIN_MS) return original(tick, ...args);
    return original(() => {
      Atomics.wait(cell, 0, 0, Math.min(MAX_NAP_MS, waited * NAP_SHARE));
      last = performance.now();
      tick(...args);
    });
  };
  globalThis.setImmediate = Object.assign(paced, original) as unknown as typeof setImmediate;
}
