/** Ctrl-C as the end of a piece of work, which says itself what there is by then. */

/** What a shell says of a command that Ctrl-C has ended: 128 and the number of SIGINT. */
export const INTERRUPTED = 130;

/**
 * Does `work`, whose signal Ctrl-C aborts; the exit code is {@link INTERRUPTED} then. A second Ctrl-C ends the process.
 *
 * Work may return what it has by then, or throw the signal's reason.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupt = new AbortController();
  const { signal } = interrupt;
  const onInterrupt = (): void => interrupt.abort();
  process.once("SIGINT", onInterrupt);
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  } finally {
    process.removeListener("SIGINT", onInterrupt);
    if (signal.aborted) process.exitCode = INTERRUPTED;
  }
}
