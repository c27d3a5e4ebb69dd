/** Trying again, ever later, while the hub cannot be reached. */
import { setTimeout as sleep } from "node:timers/promises";
import { ForgeError } from "../../engine/index.ts";

/** How often and how late something is tried again. */
export interface RetryPolicy {
  /** How often in a row something may fail without getting any further. */
  readonly attempts: number;
  /** Wait after the first failure, in milliseconds; it doubles with each that follows. */
  readonly firstWaitMs: number;
  /** The longest wait of its own accord, in milliseconds. */
  readonly longestWaitMs: number;
  /** The longest wait that a server may ask for, in milliseconds. */
  readonly longestAskedMs: number;
  /** How long a server may send nothing, in milliseconds. */
  readonly stallMs: number;
}

/** What people's connections were made for. */
export const RETRY_POLICY: RetryPolicy = {
  attempts: 6,
  firstWaitMs: 500,
  longestWaitMs: 30_000,
  longestAskedMs: 300_000,
  stallMs: 60_000,
};

/** The hub could not be reached, or not now: it may work later. */
export class UnreachableError extends ForgeError {
  /** What happened, in one line. */
  readonly summary: string;
  /** How long the server asked to wait, in milliseconds. */
  readonly askedMs: number | undefined;

  constructor(what: string, got: string, cause?: unknown, askedMs?: number) {
    super({
      code: "hub_unreachable",
      what,
      got,
      fix: "try again later; what has been downloaded is kept",
      cause,
    });
    this.summary = `${what} (${got})`;
    this.askedMs = askedMs;
  }
}

/** How {@link retrying} does it. */
export interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  /** Called before each wait. */
  readonly onWait: (error: UnreachableError, ms: number) => void;
}

/**
 * What `work` returns, which is called again as long as it throws {@link UnreachableError} and the policy allows it.
 *
 * `work` calls `advance` when it has come further than ever before: from then on, failures are counted anew.
 */
export async function retrying<T>(
  { policy, signal, onWait }: RetryOptions,
  work: (advance: () => void) => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      return await work(() => {
        failures = 0;
      });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UnreachableError) || ++failures >= policy.attempts) throw error;
      if ((error.askedMs ?? 0) > policy.longestAskedMs) throw error;
      const ms = error.askedMs ?? wait(policy, failures);
      onWait(error, ms);
      await sleep(ms, undefined, { signal });
    }
  }
}

/** Between half of the wait and all of it, so that many who were cut off at once do not come back at once. */
function wait({ firstWaitMs, longestWaitMs }: RetryPolicy, failures: number): number {
  return Math.min(longestWaitMs, firstWaitMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/** Milliseconds of a `Retry-After` header: seconds or a date. Undefined where there is none that can be read. */
export function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return 1000 * Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
