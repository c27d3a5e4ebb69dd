/** A file that one process at a time holds: pulls of a model wait for one another, runs refuse. */
import { existsSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;
/** The holder says so often that it is alive, for those on other machines that share the folder. */
const BEAT_MS = 5000;
const SILENCE_MS = 60_000;

/**
 * Runs `work` while nobody else holds the lock `file`, whose folder is there.
 *
 * `onWait` is called once if somebody does. The lock of a process that has died is taken over.
 */
export async function withFileLock<T>(
  file: string,
  signal: AbortSignal,
  onWait: (holder: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  let release = takeFileLock(file);
  for (let waits = 0; !release; waits++) {
    if (waits === 0) onWait(lockHolder(file) ?? "");
    await sleep(POLL_MS, undefined, { signal });
    release = takeFileLock(file);
  }
  try {
    return await work();
  } finally {
    release();
  }
}

/**
 * Takes the lock `file`, whose folder is there, unless somebody holds it; returns what gives it back, or undefined.
 *
 * The lock of a process that has died is taken over.
 */
export function takeFileLock(file: string): (() => void) | undefined {
  const path = resolve(file);
  if (!take(path) && !(breakStale(path) && take(path))) return undefined;
  held.add(path);
  const heart = setInterval(() => beat(path), BEAT_MS).unref();
  return () => {
    clearInterval(heart);
    held.delete(path);
    rmSync(path, { force: true });
  };
}

/** Locks of this process. */
const held = new Set<string>();

function take(file: string): boolean {
  try {
    writeFileSync(file, `${process.pid} ${hostname()}`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function beat(file: string): void {
  try {
    utimesSync(file, new Date(), new Date());
  } catch {
    // deleted by hand: whoever did that wants the work to go on
  }
}

/**
 * Deletes a lock whose holder is gone, and says whether it did. The lock on the lock makes looking and deleting one act:
 * of two who find the same dead holder, the second would delete the lock that the first has taken.
 */
function breakStale(file: string): boolean {
  if (!isStale(file)) return false;
  const breaker = `${file}.breaking`;
  if (!take(breaker)) {
    if (ageOf(breaker) > SILENCE_MS) rmSync(breaker, { force: true });
    return false;
  }
  try {
    if (!isStale(file)) return false;
    rmSync(file, { force: true });
    return true;
  } finally {
    rmSync(breaker, { force: true });
  }
}

function isStale(file: string): boolean {
  const [pid = "", host] = (lockHolder(file) ?? "").split(" ");
  // Of another machine, or of one that died between making the file and filling it, only the silence tells.
  if (host !== hostname()) return ageOf(file) > SILENCE_MS;
  // A container that starts again has the same name, and its processes have the same ids.
  if (Number(pid) === process.pid) return !held.has(file);
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Whether a process that is alive holds the lock. */
export function isLockHeld(file: string): boolean {
  return existsSync(file) && !isStale(resolve(file));
}

/** Process id and machine of who holds a lock, with a space between; undefined if nobody does. */
export function lockHolder(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // given back in the meantime
  }
}

/** Milliseconds since the file was touched; 0 where it is gone. */
function ageOf(file: string): number {
  const seen = statSync(file, { throwIfNoEntry: false });
  return seen ? Date.now() - seen.mtimeMs : 0;
}
