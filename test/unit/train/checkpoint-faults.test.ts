import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { pruneCheckpoints } from "../../../src/train/checkpoint/keep.ts";
import { latestCheckpoint, readCheckpoint } from "../../../src/train/checkpoint/read.ts";
import { writeCheckpoint } from "../../../src/train/checkpoint/write.ts";
import { contentsOf } from "../../support/checkpoint-contents.ts";
import { listing, temporaryFolder, textOf, writtenText } from "../../support/checkpoints.ts";
import { errorOf } from "../../support/errors.ts";
import { randoms } from "../../support/gpu.ts";

const folder = temporaryFolder("faults");
const program = join(folder, "child.mjs");

// one file that starts in a tenth of the time that the sources take
beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, "checkpoint-child.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["webgpu"],
    absWorkingDir: resolve(import.meta.dirname, "../../.."),
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
  });
});

/** A child, and the lines that it says, parsed. */
function started(role: string, directory: string): { child: ChildProcess; said: unknown[] } {
  const child = spawn(process.execPath, [program, role, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said: unknown[] = [];
  let text = "";
  child.stdout.on("data", (part) => {
    const lines = (text + part).split("\n");
    text = lines.pop() ?? "";
    said.push(...lines.map((line) => JSON.parse(line)));
  });
  return { child, said };
}

function ended(child: ChildProcess): Promise<NodeJS.Signals | number | null> {
  return new Promise((done) => child.once("close", (code, signal) => done(signal ?? code)));
}

describe("a process that is killed while it writes checkpoints", () => {
  const KILLS = 16;

  it.each([1, 2])("leaves the newest one whole, at any moment, lane %i", async (lane) => {
    const directory = join(folder, `lane-${lane}`);
    const random = randoms(lane);
    let interrupted = 0;
    let known = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, said } = started("forever", directory);
      const end = ended(child);
      while (said.length <= kill % 3) await sleep(2);
      await sleep(40 * random.next());
      child.kill("SIGKILL");
      expect(await end).toBe("SIGKILL");
      const last = said.at(-1) as number;
      if (readdirSync(directory).some((name) => name.endsWith(".draft"))) interrupted++;
      const onInvalid = (error: Error): never => expect.fail(error.message);
      await using latest = await latestCheckpoint(directory, { onInvalid });
      const step = latest?.step as number;
      // that a checkpoint is there may have been true before it was said
      expect(step === last || step === last + 1, `${step} after ${last}`).toBe(true);
      expect(step).toBeGreaterThanOrEqual(known);
      known = step;
      if (latest) expect(await textOf(latest)).toBe(await writtenText(step));
    }
    expect(interrupted).toBeGreaterThan(0);
    // what they have left goes with the next one
    await writeCheckpoint(directory, known + 1, contentsOf(known + 1));
    await pruneCheckpoints(directory, { keep: 1 });
    const left = readdirSync(directory).filter((name) => /^\.step|^step/.test(name));
    expect(left.length).toBeLessThanOrEqual(2);
    expect(left.every((name) => name.startsWith("step-"))).toBe(true);
  });
});

describe("two processes that write into one directory", () => {
  it("leave only whole checkpoints, and nothing of theirs beside", async () => {
    const directory = join(folder, "together");
    mkdirSync(directory);
    const writers = [1, 2, 3].map(() => started("together", directory));
    const ends = Promise.all(writers.map(({ child }) => ended(child)));
    let isOver = false;
    void ends.then(() => {
      isOver = true;
    });
    while (!isOver) {
      // a folder may be gone between two looks at it: what is opened is whole
      const latest = await latestCheckpoint(directory, { onInvalid: () => {} }).catch(
        (error: unknown) => {
          expect(error).toMatchObject({ code: "checkpoint_invalid" });
        },
      );
      if (latest) {
        expect(await textOf(latest)).toBe(await writtenText(latest.step));
        await latest.close();
      }
    }
    expect(await ends).toEqual([0, 0, 0]);
    for (const step of [1, 2, 3, 4]) {
      await using read = await readCheckpoint(join(directory, `step-00000${step}`));
      expect(await textOf(read)).toBe(await writtenText(step));
    }
    expect(readdirSync(directory).filter((name) => !/^step-00000[1-4]$/.test(name))).toEqual([]);
  });
});

/** A command that may mount, in a namespace that goes with it; none where the system allows nobody to. */
const namespace = [
  ["unshare", "-m"],
  ["unshare", "-rm"],
].find(
  ([command = "", ...options]) =>
    spawnSync(command, [...options, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0,
);
const MOUNTS = namespace ? "" : " (skipped: nothing can be mounted here)";

describe("a disk", () => {
  it.skipIf(!namespace)(`that is full, then read-only, keeps what it has${MOUNTS}`, () => {
    const directory = join(folder, "disk");
    mkdirSync(directory);
    const [command = "", ...options] = namespace ?? [];
    const node = [process.execPath, program, "mounted", directory];
    const said = JSON.parse(execFileSync(command, [...options, ...node], { encoding: "utf8" }));
    expect(said.step).toBeGreaterThan(2);
    const before = Array.from({ length: said.step - 1 }, (_, i) => `step-00000${i + 1}`);
    expect(said).toEqual({
      ...{ step: said.step, code: "disk_full", latest: said.step - 1, failure: "disk_full" },
      names: [...before, "failures"].sort(),
      after: "done",
      readOnly: Array(4).fill("run_directory_unwritable"),
      still: said.step,
    });
  });

  const full = "/dev/full";
  const hasFull = process.platform === "linux";
  it.skipIf(!hasFull)("that is full is an error that says what to do", async () => {
    const directory = join(folder, "full");
    await writeCheckpoint(directory, 1, contentsOf(1));
    const before = listing(directory);
    const file = openSync(full, "w");
    const data = (): Float32Array => {
      writeSync(file, "x"); // throws what the system says of a full disk
      return new Float32Array(1);
    };
    const tensors = {
      policy: { tensors: [{ name: "w", dtype: "F32" as const, shape: [1], data }] },
    };
    const error = await errorOf(writeCheckpoint(directory, 2, { tensors, state: {} }));
    expect(error).toMatchObject({ code: "disk_full", hint: expect.stringContaining("make room") });
    expect(listing(directory)).toEqual(before);
  });
});

describe("a place that cannot be written", () => {
  it("is an error that names it, and is left as it is", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "kept");
    for (const directory of [file, join(file, "below")]) {
      const error = await errorOf(writeCheckpoint(directory, 1, contentsOf(1)));
      expect(error).toMatchObject({ code: "run_directory_unwritable" });
      expect(error.message).toContain(directory);
    }
  });

  const isRoot = process.getuid?.() === 0;
  const why = isRoot ? " (skipped: nothing is forbidden to root)" : "";
  it.skipIf(isRoot)(`is an error where others own it${why}`, async () => {
    const directory = join(folder, "owned");
    await writeCheckpoint(directory, 1, contentsOf(1));
    chmodSync(directory, 0o555);
    const error = await errorOf(writeCheckpoint(directory, 2, contentsOf(2)));
    expect(error).toMatchObject({ code: "run_directory_unwritable" });
    await using latest = await latestCheckpoint(directory);
    expect(latest?.step).toBe(1);
    chmodSync(directory, 0o755);
  });
});
