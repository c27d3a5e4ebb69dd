/** One set-up at a time per user: a second one waits, then finds the work done. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { cacheFolder } from "./paths.mjs";
import { SetUpError } from "./run.mjs";

const WAIT_MS = 30 * 60_000;

/**
 * Runs `work` while no other set-up of this user runs.
 *
 * @template T
 * @param {(line: string) => void} say
 * @param {() => T} work
 * @returns {T}
 */
export function withLock(say, work) {
  const file = join(cacheFolder(), "setup.lock");
  try {
    mkdirSync(cacheFolder(), { recursive: true });
  } catch (cause) {
    throw new SetUpError(
      `the cache folder ${cacheFolder()} cannot be made: ${cause}`,
      "set XDG_CACHE_HOME to a folder that you may write to",
    );
  }
  const started = Date.now();
  while (!take(file)) {
    if (isStale(file)) {
      rmSync(file, { force: true });
      continue;
    }
    if (Date.now() - started > WAIT_MS) {
      throw new SetUpError(
        "another set-up has been running for half an hour",
        `end it, or delete ${file}`,
      );
    }
    if (Date.now() - started < 500) say("waiting for another set-up to finish");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  }
  try {
    return work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** @param {string} file */
function take(file) {
  try {
    writeFileSync(file, `${process.pid} ${hostname()}`, { flag: "wx" });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}

/**
 * Whether the holder of a lock is gone. The process of another machine cannot be asked; its lock counts for as long as
 * anybody would wait.
 *
 * @param {string} file
 */
function isStale(file) {
  try {
    const [pid, host] = readFileSync(file, "utf8").split(" ");
    if (host !== hostname()) return Date.now() - statSync(file).mtimeMs > WAIT_MS;
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "ESRCH";
  }
}
