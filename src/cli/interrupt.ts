/** Ctrl-C, and a polite end by others, as the end of a piece of work, which says itself what there is by then. */

/** What a shell says of a command that Ctrl-C has ended: 128 and the number of SIGINT. */
export const INTERRUPTED = 130;
/** The same of SIGTERM, by which batch systems say that time is up. */
const TERMINATED = 143;

/**
 * Does `work`, whose signal Ctrl-C aborts; the exit code is {@link INTERRUPTED} then. A second Ctrl-C ends the process. So
 * does SIGTERM, with the exit code 143.
 *
 * Work may return what it has by then, or throw the signal's reason.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupt = new AbortController();
  const { signal } = interrupt;
  let code = INTERRUPTED;
  const onInterrupt = (): void => interrupt.abort();
  const onTerminate = (): void => {
    code = TERMINATED;
    interrupt.abort();
  };
  process.once("SIGINT", onInterrupt);
  process.once("SIGTERM", onTerminate);
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  } finally {
    process.removeListener("SIGINT", onInterrupt);
    process.removeListener("SIGTERM", onTerminate);
    if (signal.aborted) process.exitCode = code;
  }
}
