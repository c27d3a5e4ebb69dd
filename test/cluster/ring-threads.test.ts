/** Rings in threads, in processes of their own, which have to end by themselves. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { childProgram } from "../support/child-program.ts";

/** What a process has found. It has to end by itself. */
async function found(child: string, threads: number): Promise<Record<string, unknown>> {
  const started = spawn(process.execPath, [childProgram(`cluster/${child}`), `${threads}`]);
  const [stdout, stderr, [code]] = await Promise.all([
    text(started.stdout),
    text(started.stderr),
    once(started, "exit"),
  ]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

it.each([1, 2, 3])("%i threads sum what one does, and fail together", async (threads) => {
  const { sums, errors, doors } = await found("ring-threads-child.ts", threads);
  expect(sums).toEqual([true, true, true]);
  expect(doors).toBe(2 * threads);
  expect(errors).toEqual([
    "non_finite",
    "connection_closed",
    "collective_aborted",
    "argument_invalid",
    "listen_failed",
  ]);
});

it.each([1, 2])(
  "%i threads move a collective to its end while the main thread is busy",
  async (threads) => {
    expect(await found("busy-main-child.ts", threads)).toEqual({ meanwhile: 1, isRight: true });
  },
);

it.each([0, 2])(
  "a cluster with %i threads sums what the oracle does, and lives through what befalls it",
  async (threads) => {
    const { wrong, doors, errors } = await found("cluster-threads-child.ts", threads);
    expect(wrong).toBe(0);
    expect(doors).toBe(3);
    expect(errors).toEqual([
      // another number of threads; threads that are gone, of a ring and of the control plane; numbers that cannot be
      "argument_invalid",
      ...(threads > 0 ? ["collective_aborted", "collective_aborted"] : []),
      ...["argument_invalid", "argument_invalid"],
    ]);
  },
);
