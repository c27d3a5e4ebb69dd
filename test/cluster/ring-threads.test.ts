/** Rings in threads: a process of its own, since only those of a process that was told so load the sources. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";

const TSX = pathToFileURL(join(import.meta.dirname, "../support/tsx-in-threads.mjs")).href;

it.each([1, 2, 3])("%i threads sum what one does, and fail together", async (threads) => {
  const child = spawn(process.execPath, [
    ...["--import", TSX, join(import.meta.dirname, "ring-threads-child.ts"), `${threads}`],
  ]);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  const { sums, errors, doors } = JSON.parse(stdout);
  expect(sums).toEqual([true, true, true]);
  expect(doors).toBe(2 * threads);
  expect(errors[0]).toBe("non_finite");
  expect(errors.slice(1)).toEqual([
    "connection_closed",
    "collective_aborted",
    "argument_invalid",
    "listen_failed",
  ]);
});
