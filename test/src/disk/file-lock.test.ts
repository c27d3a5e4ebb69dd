import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { withFileLock } from "../../../src/disk/file-lock.ts";
import { errorOf } from "../../support/errors.ts";
import { useEmptyCache } from "../../support/hub-cache.ts";

const scratch = useEmptyCache();
const module = resolve(import.meta.dirname, "../../../src/disk/file-lock.ts");

/** Runs a process that appends two lines to the journal while it holds the lock. */
async function holder(file: string, journal: string): Promise<void> {
  const script = `
    import { appendFileSync } from "node:fs";
    import { setTimeout } from "node:timers/promises";
    import { withFileLock } from ${JSON.stringify(module)};
    await withFileLock(${JSON.stringify(file)}, new AbortController().signal, () => {}, async () => {
      appendFileSync(${JSON.stringify(journal)}, "in\\n");
      await setTimeout(50);
      appendFileSync(${JSON.stringify(journal)}, "out\\n");
    });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script]);
  await once(child, "exit");
}

const deadProcess = (): number => spawnSync(process.execPath, ["-e", ""]).pid;

/** Takes the lock in this process; resolves to whether it had to wait. */
async function taken(file: string, signal = new AbortController().signal): Promise<boolean> {
  let waited = false;
  const onWait = (): void => {
    waited = true;
  };
  await withFileLock(file, signal, onWait, async () => expect(existsSync(file)).toBe(true));
  expect(existsSync(file)).toBe(false);
  return waited;
}

describe("withFileLock", () => {
  it("lets one process in at a time, also after one that has died", async () => {
    const file = join(scratch(), "lock");
    const journal = join(scratch(), "journal");
    writeFileSync(file, `${deadProcess()} ${hostname()}`);
    await Promise.all([1, 2, 3].map(() => holder(file, journal)));
    expect(readFileSync(journal, "utf8")).toBe("in\nout\n".repeat(3));
    expect(existsSync(file)).toBe(false);
  });

  it("is given back when the work fails", async () => {
    const file = join(scratch(), "lock");
    const { signal } = new AbortController();
    const failure = new Error("no");
    const work = withFileLock(
      file,
      signal,
      () => {},
      () => Promise.reject(failure),
    );
    expect(await errorOf(work)).toBe(failure);
    expect(await taken(file)).toBe(false);
  });

  it.each([
    ["another machine", "1 elsewhere"],
    ["one that died before it had a name", ""],
  ])("is taken over from %s after a minute without a sign of life", async (_, holder) => {
    const file = join(scratch(), "lock");
    writeFileSync(file, holder);
    const abort = new AbortController();
    const waiting = errorOf(taken(file, abort.signal));
    abort.abort();
    expect((await waiting).name).toBe("AbortError");
    const before = Date.now() / 1000 - 61;
    utimesSync(file, before, before);
    expect(await taken(file)).toBe(false);
  });

  it("is taken over though somebody died doing so", async () => {
    const file = join(scratch(), "lock");
    const before = Date.now() / 1000 - 61;
    writeFileSync(file, `${deadProcess()} ${hostname()}`);
    writeFileSync(`${file}.breaking`, "");
    utimesSync(`${file}.breaking`, before, before);
    expect(await taken(file)).toBe(true);
    expect(existsSync(`${file}.breaking`)).toBe(false);
  });
});
