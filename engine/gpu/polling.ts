/**
 * Waiting for the GPU without spinning a core.
 *
 * The npm package `webgpu` (Dawn) delivers results by re-queueing a tick through `globalThis.setImmediate` for as long
 * as any promise is pending: one core at 100 %. On a software adapter that core is half of the GPU. `waitGently` catches
 * those ticks and paces them: a short spin for results that are nearly there, then naps of at most `MAX_NAP_MS`.
 *
 * The replacement of `setImmediate` is contained: it is in place only while the package's own native code runs
 * synchronously below us (the call that begins a wait, and each tick), never while any other JavaScript runs.
 * In browsers there is nothing to pace.
 */

/** Spin this long (ms) before the first nap: most small readbacks are done by then. */
const SPIN_MS = 0.2;
/** Longest nap (ms): bounds how late a result is seen and how long the event loop of the host can be held up. */
const MAX_NAP_MS = 0.25;
/** A nap is this share of the time waited so far. */
const NAP_SHARE = 0.05;

type Tick = (...args: unknown[]) => void;
type SetImmediate = (tick: Tick, ...args: unknown[]) => unknown;

const host = globalThis as unknown as { setImmediate?: SetImmediate };
const napCell =
  typeof SharedArrayBuffer === "undefined" || host.setImmediate === undefined
    ? undefined
    : new Int32Array(new SharedArrayBuffer(4));

let waitStart = 0;

/**
 * Begins an asynchronous WebGPU call and paces the polling until it settles.
 *
 * `begin` must make exactly one native call and return its promise.
 */
export function waitGently<T>(begin: () => Promise<T>): Promise<T> {
  if (napCell === undefined) return begin();
  waitStart = performance.now();
  return withPacedImmediate(begin);
}

function withPacedImmediate<T>(native: () => T): T {
  const original = host.setImmediate;
  if (original === undefined || original === pacedImmediate) return native();
  hostImmediate = original;
  host.setImmediate = pacedImmediate;
  try {
    return native();
  } finally {
    host.setImmediate = original;
  }
}

let hostImmediate: SetImmediate = () => undefined;

function pacedImmediate(tick: Tick, ...args: unknown[]): unknown {
  const waited = performance.now() - waitStart;
  const nap = waited < SPIN_MS ? 0 : Math.min(MAX_NAP_MS, waited * NAP_SHARE);
  return hostImmediate(() => {
    if (nap > 0 && napCell !== undefined) Atomics.wait(napCell, 0, 0, nap);
    withPacedImmediate(() => tick(...args));
  });
}
