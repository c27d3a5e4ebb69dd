/** Disks and directories that refuse. Tests may run as root, whom permissions do not bind: what is used fails for everybody. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { AppendFile } from "../../../src/train/run/append-file.ts";
import { RunDirectory, readMetrics } from "../../../src/train/run/run-directory.ts";
import { codeOf, errorOf, rejectionOf } from "../../support/errors.ts";
import { description, useRuns } from "./runs.ts";

const runs = useRuns();

/** Whether this process may mount; most may not, in a container or as a plain user. */
function mount(...args: readonly string[]): boolean {
  const isMounted = spawnSync("mount", args).status === 0;
  const point = args.at(-1) ?? "";
  if (isMounted) mounted.push(point);
  return isMounted;
}

const mounted: string[] = [];
afterEach(() => {
  for (const point of mounted.splice(0)) spawnSync("umount", ["-l", point]);
});

function canMount(): boolean {
  const point = mkdtempSync(join(tmpdir(), "forge-gpu-mount-"));
  const can = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4k", "none", point]).status === 0;
  if (can) spawnSync("umount", [point]);
  rmdirSync(point);
  return can;
}

const CAN_MOUNT = process.platform === "linux" && canMount();
const NO_MOUNT = CAN_MOUNT ? "" : " (skipped: this user may not mount)";

describe("a directory that cannot be written", () => {
  it.each([
    ["runs is a file", ["runs"], "runs"],
    ["the run's name is a file", ["runs/quick"], "runs"],
    ["a folder above is a file", ["above"], "above/runs"],
  ])("is refused with what to do: %s", (_, files, where) => {
    for (const file of files) {
      mkdirSync(join(runs(), file, ".."), { recursive: true });
      writeFileSync(join(runs(), file), "");
    }
    const create = (): unknown => RunDirectory.create(join(runs(), where), description());
    expect(codeOf(create)).toBe("run_directory_unwritable");
    expect(create).toThrow(/fix .*folder/);
  });

  it("is refused too when a log is a folder, and stays unlocked", async () => {
    const run = RunDirectory.create(runs(), description());
    await run.close();
    spawnSync("rm", [join(run.path, "rollouts.jsonl")]);
    mkdirSync(join(run.path, "rollouts.jsonl"));
    expect(codeOf(() => RunDirectory.open(run.path))).toBe("run_directory_unwritable");
    expect(existsSync(join(run.path, ".lock"))).toBe(false);
  });

  it.skipIf(!CAN_MOUNT)(`is refused when the file system is read-only${NO_MOUNT}`, async () => {
    const run = RunDirectory.create(runs(), description());
    await run.close();
    expect(mount("--bind", runs(), runs())).toBe(true);
    expect(spawnSync("mount", ["-o", "remount,ro,bind", runs()]).status).toBe(0);
    expect(codeOf(() => RunDirectory.create(runs(), description()))).toBe(
      "run_directory_unwritable",
    );
    expect(codeOf(() => RunDirectory.open(run.path))).toBe("run_directory_unwritable");
  });
});

describe("a full disk", () => {
  it.skipIf(!existsSync("/dev/full"))("is an error that says so, at the first byte", () => {
    // nothing was written, and a device has no size to go back to
    const file = new AppendFile("/dev/full");
    onTestFinished(() => file.close());
    expect(codeOf(() => file.append(Buffer.from("x")))).toBe("disk_full");
  });

  it.skipIf(!CAN_MOUNT)(
    `leaves whole lines, and the run goes on once there is room${NO_MOUNT}`,
    async () => {
      const disk = join(runs(), "disk");
      mkdirSync(disk);
      expect(mount("-t", "tmpfs", "-o", "size=128k", "none", disk)).toBe(true);
      const run = RunDirectory.create(disk, description());
      onTestFinished(() => run.close());
      const episode = { text: "x".repeat(3000) };
      let steps = 0;
      const fill = async (): Promise<void> => {
        for (;;) {
          await run.writeMetrics(steps + 1, { "reward/mean": steps });
          run.writeRollouts(steps + 1, [episode, episode]);
          steps++;
        }
      };
      const error = await errorOf(fill());
      expect(error).toMatchObject({ code: "disk_full" });
      expect(error.message).toMatch(/--resume/);
      const lines = readFileSync(join(run.path, "rollouts.jsonl"), "utf8").split("\n");
      expect(lines.pop()).toBe("");
      expect(lines.map((line) => JSON.parse(line).step)).toEqual(
        Array.from({ length: 2 * steps }, (_, i) => 1 + (i >> 1)),
      );
      const before = readFileSync(join(run.path, "run.json"), "utf8");
      const { version, adapter, isDeterministic, nondeterminism } = run.record;
      const place = { version, adapter, isDeterministic, nondeterminism };
      spawnSync("sh", ["-c", `cat /dev/zero > ${join(disk, "filler")}`]);
      expect(codeOf(() => run.writeSummary({ text: "x".repeat(10_000) }))).toBe("disk_full");
      expect(readdirSync(run.path)).not.toContain("summary.json");
      expect(readdirSync(run.path)).not.toContain(".summary.json.draft");
      expect(readFileSync(join(run.path, "run.json"), "utf8")).toBe(before);
      spawnSync("rm", [join(disk, "filler")]);
      run.rewind({ step: 2, checkpoint: "checkpoints/step-2", ...place });
      await run.writeMetrics(3, { "reward/mean": 3 });
      expect(readMetrics(run.path).map(({ step }) => step)).toEqual([1, 2, 3]);
      expect(await rejectionOf(run.writeMetrics(1, {}))).toBe("argument_invalid");
    },
  );
});
