/** One call of a tool: its input checked, its time bounded. */
import { ForgeError } from "../../../engine/error.ts";
import type { ToolCallStatus } from "../message.ts";
import type { Tool, ToolContext } from "./tool.ts";

/** How a call went: with what the tool returned, or what is wrong. */
export type ToolOutcome =
  | { readonly status: "ok"; readonly value: unknown }
  | { readonly status: Exclude<ToolCallStatus, "ok">; readonly error: unknown };

/** What a call is made with. */
export interface ToolCallOptions extends Omit<ToolContext, "signal"> {
  /** Calls that wait no longer: the episode's, and whoever else's. */
  readonly signals: readonly AbortSignal[];
  /** Milliseconds. */
  readonly timeoutMs: number;
}

/** Timers cannot wait longer, and go off at once instead. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Runs a tool. Whatever it does, there is an outcome within its time, unless it never awaits.
 *
 * Errors    only the reason of a signal that is aborted.
 */
export async function callTool(
  tool: Tool,
  input: unknown,
  options: ToolCallOptions,
): Promise<ToolOutcome> {
  const { signals, timeoutMs, ...context } = options;
  for (const signal of signals) signal.throwIfAborted();
  let status: "invalid_input" | "error" = "invalid_input";
  try {
    const parsed = tool.parse(input);
    status = "error";
    const value = await inTime(
      (signal) => tool.run(parsed, { ...context, signal }),
      signals,
      timeoutMs,
    );
    return { status: "ok", value };
  } catch (error) {
    for (const signal of signals) signal.throwIfAborted();
    if (error instanceof ToolTimeout) return { status: "timeout", error };
    const isMisfit = error instanceof ForgeError && error.code === "tool_input_invalid";
    return { status: isMisfit ? status : "error", error };
  }
}

/** What a call that takes too long ends with. */
class ToolTimeout extends DOMException {
  constructor(ms: number) {
    super(`the tool took longer than ${ms / 1000} s`, "TimeoutError");
  }
}

/**
 * What the work comes to, unless time or a signal ends it first: then its own signal is aborted, and what becomes of it is of
 * no interest to anyone.
 */
async function inTime(
  work: (signal: AbortSignal) => unknown,
  signals: readonly AbortSignal[],
  timeoutMs: number,
): Promise<unknown> {
  const own = new AbortController();
  let clear = (): void => {};
  const ended = new Promise<never>((_, reject) => {
    const late = (): void => reject(new ToolTimeout(timeoutMs));
    const timer = timeoutMs <= LONGEST_TIMER ? setTimeout(late, timeoutMs) : undefined;
    const stop = (event: Event): void => reject((event.target as AbortSignal).reason);
    for (const signal of signals) signal.addEventListener("abort", stop);
    clear = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", stop);
    };
  });
  try {
    // the race handles rejections that come late, too
    return await Promise.race([new Promise((resolve) => resolve(work(own.signal))), ended]);
  } catch (error) {
    own.abort(error);
    throw error;
  } finally {
    clear();
  }
}
