/** Rings in threads: a process of its own, since only those of a process that was told so load the sources. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";

const TSX = pathToFileURL(join(import.meta.dirname, "../support/tsx-in-threads.mjs")).href;

/** What a process has found. It has to end by itself. */
async function found(child: string, threads: number): Promise<Record<string, unknown>> {
  const started = spawn(process.execPath, [
    ...["--import", TSX, join(import.meta.dirname, child), `${threads}`],
  ]);
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

it.each([0, 1, 3])(
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
