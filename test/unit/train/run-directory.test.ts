import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { MetricsWriter } from "../../../src/train/run/metrics.ts";
import {
  type Resumption,
  RunDirectory,
  readMetrics,
} from "../../../src/train/run/run-directory.ts";
import { furthestRun, newestRun } from "../../../src/train/run/runs-folder.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { description, useRuns } from "./runs.ts";

const runs = useRuns();
const module = resolve(import.meta.dirname, "../../../src/train/run/run-directory.ts");

const atStep = (step: number): Resumption => {
  const { version, adapter, isDeterministic, nondeterminism } = description();
  const checkpoint = `checkpoints/step-${step}`;
  return { step, checkpoint, version, adapter, isDeterministic, nondeterminism };
};

/** A closed run with metrics and two episodes of each of so many steps. */
async function finishedRun(steps: number): Promise<string> {
  const run = RunDirectory.create(runs(), description());
  for (let step = 1; step <= steps; step++) {
    await run.writeMetrics(step, { "reward/mean": step / 10 });
    run.writeRollouts(step, [{ task: "a" }, { task: "b", text: "x".repeat(20_000) }]);
  }
  await run.close();
  return run.path;
}

const stepsOf = (file: string): number[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line).step);

describe("a new run", () => {
  it("says what it is, where it runs, and since when", async () => {
    const run = RunDirectory.create(runs(), description());
    const read = JSON.parse(readFileSync(join(run.path, "run.json"), "utf8"));
    expect(read).toMatchObject({
      name: "quick",
      seed: 7,
      // JSON has no infinity, and null would be another setting
      config: { steps: 3, pool: { window: "Infinity" } },
      adapter: { vendor: "mesa", device: "llvmpipe" },
      version: "0.1.0",
      node: process.version,
      isDeterministic: true,
      nondeterminism: [],
      resumed: [],
    });
    expect(Math.abs(Date.now() - Date.parse(read.startedAt))).toBeLessThan(60_000);
    expect(run.path).toMatch(/quick[/\\]\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d$/);
    expect(readdirSync(run.checkpoints)).toEqual([]);
    await run.close();
  });

  it("gets a name after all others, also within a second", async () => {
    const paths: string[] = [];
    for (let i = 0; i < 12; i++) {
      const run = RunDirectory.create(runs(), description());
      paths.push(run.path);
      await run.close();
      expect(newestRun(runs(), "quick")).toBe(run.path);
    }
    expect(new Set(paths).size).toBe(12);
    expect(newestRun(runs(), "other")).toBeUndefined();
  });

  it("of a cluster is found by the cluster's id and how far it has come", async () => {
    const paths: string[] = [];
    for (const [runId, steps] of [
      ["a", [2, 4]],
      ["a", [4, 3]],
      ["a", []],
      ["b", [9]],
      [undefined, [9]],
    ] as const) {
      const run = RunDirectory.create(runs(), description({ ...(runId && { runId }) }));
      for (const step of steps) mkdirSync(join(run.checkpoints, `step-00000${step}`));
      paths.push(run.path);
      await run.close();
    }
    expect(await furthestRun(runs(), "quick", "a")).toBe(paths[1]);
    expect(await furthestRun(runs(), "quick", "b")).toBe(paths[3]);
    expect(await furthestRun(runs(), "quick", "c")).toBeUndefined();
    expect(await furthestRun(runs(), "other", "a")).toBeUndefined();
  });

  it.each(["", ".", "..", "a/b", "a\\b", ".hidden"])("is not called %j", (name) => {
    expect(codeOf(() => RunDirectory.create(runs(), description({ name })))).toBe(
      "argument_invalid",
    );
  });
});

describe("the log", () => {
  it("has a line a step, read as it was written, whatever the numbers", async () => {
    const metrics = {
      "losses/grad_norm": Infinity,
      "reward/mean": 0.1,
      "a/b": NaN,
      "a/c": -Infinity,
    };
    const run = RunDirectory.create(runs(), description(), { tensorboard: false });
    await run.writeMetrics(1, metrics);
    await run.writeMetrics(2, { "reward/mean": 0.2 });
    await run.close();
    const [first, second] = readFileSync(join(run.path, "metrics.jsonl"), "utf8").split("\n");
    expect(JSON.parse(first ?? "")).toEqual({
      step: 1,
      wall_time: expect.any(Number),
      "losses/grad_norm": null,
      "reward/mean": 0.1,
      "a/b": null,
      "a/c": null,
      non_finite: { "losses/grad_norm": "Infinity", "a/b": "NaN", "a/c": "-Infinity" },
    });
    expect(second).toMatch(/^\{"step":2,"wall_time":\d+\.?\d*,"reward\/mean":0\.2\}$/);
    expect(readMetrics(run.path).map((line) => line.metrics)).toEqual([
      metrics,
      { "reward/mean": 0.2 },
    ]);
    expect(readdirSync(run.path).sort()).toEqual([
      "checkpoints",
      "metrics.jsonl",
      "rollouts.jsonl",
      "run.json",
    ]);
  });

  it("takes no step before the last, and no metric with the name of a line's own key", async () => {
    const run = RunDirectory.create(runs(), description());
    await run.writeMetrics(3, {});
    expect(await rejectionOf(run.writeMetrics(2, {}))).toBe("argument_invalid");
    expect(await rejectionOf(run.writeMetrics(4, { step: 1 }))).toBe("argument_invalid");
    expect(stepsOf(join(run.path, "metrics.jsonl"))).toEqual([3]);
    await run.close();
  });

  it("goes to the writers of the caller too", async () => {
    const calls: unknown[] = [];
    const tracker: MetricsWriter = {
      write: async (step, metrics) => void calls.push([step, metrics]),
      flush: () => void calls.push("flush"),
      close: () => void calls.push("close"),
    };
    const run = RunDirectory.create(runs(), description(), { writers: [tracker] });
    await run.writeMetrics(1, { "reward/mean": 1 });
    await run.flush();
    await run.close();
    expect(calls).toEqual([[1, { "reward/mean": 1 }], "flush", "close"]);
  });

  it("keeps the step of an episode its own", async () => {
    const run = RunDirectory.create(runs(), description());
    run.writeRollouts(5, [{ step: 99, task: "a" }]);
    await run.close();
    expect(readFileSync(join(run.path, "rollouts.jsonl"), "utf8")).toBe('{"step":5,"task":"a"}\n');
  });
});

describe("a run that goes on", () => {
  it.each([0, 1, 4, 6, 9])("from step %i knows nothing of later ones", async (step) => {
    const path = await finishedRun(6);
    const kept = Math.min(step, 6);
    const run = RunDirectory.open(path);
    run.rewind(atStep(step));
    expect(stepsOf(join(path, "metrics.jsonl"))).toEqual(
      Array.from({ length: kept }, (_, i) => i + 1),
    );
    expect(stepsOf(join(path, "rollouts.jsonl"))).toHaveLength(2 * kept);
    await run.writeMetrics(step + 1, { "reward/mean": 1 });
    run.writeRollouts(step + 1, [{ task: "c" }]);
    await run.close();
    expect(run.readMetrics().at(-1)?.step).toBe(step + 1);
    expect(run.record.resumed).toMatchObject([{ step, checkpoint: `checkpoints/step-${step}` }]);
    expect(RunDirectory.open(path).record).toEqual(run.record);
  });

  it("has lost the torn last line and nothing else", async () => {
    const path = await finishedRun(3);
    const file = join(path, "metrics.jsonl");
    const whole = readFileSync(file, "utf8");
    for (const cut of [1, 5, 20]) {
      writeFileSync(file, whole.slice(0, -cut));
      const run = RunDirectory.open(path);
      expect(stepsOf(file)).toEqual([1, 2]);
      await run.close();
    }
  });

  it("cuts whole lines that are no lines of a log", async () => {
    const path = await finishedRun(3);
    appendFileSync(join(path, "metrics.jsonl"), "\0\0\0\n{}\n");
    const run = RunDirectory.open(path);
    expect(stepsOf(join(path, "metrics.jsonl"))).toEqual([1, 2, 3]);
    await run.close();
  });

  it("is whole after kill -9 at any moment", async () => {
    const script = `
      import { RunDirectory } from ${JSON.stringify(module)};
      const run = RunDirectory.create(${JSON.stringify(runs())}, ${JSON.stringify(description())});
      console.log(run.path);
      for (let step = 1; ; step++) {
        await run.writeMetrics(step, { "reward/mean": step, "losses/policy_loss": Math.random() });
        run.writeRollouts(step, [{ text: "x".repeat(Math.random() * 1e5) }, { text: "y" }]);
        run.writeSummary({ step, text: "z".repeat(1e4) });
      }`;
    const cycles = [0, 30, 90].map(async (ms) => {
      const child = spawn(
        process.execPath,
        ["--import", "tsx", "--input-type=module", "-e", script],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      const [said] = await once(child.stdout, "data");
      const path = String(said).trim();
      while (!existsSync(join(path, "summary.json"))) await new Promise((go) => setTimeout(go, 5));
      await new Promise((go) => setTimeout(go, ms));
      child.kill("SIGKILL");
      await once(child, "exit");
      return path;
    });
    for (const path of await Promise.all(cycles)) {
      // the lock of the dead process is no obstacle
      const run = RunDirectory.open(path);
      const { step } = JSON.parse(readFileSync(join(path, "summary.json"), "utf8"));
      const steps = stepsOf(join(path, "metrics.jsonl"));
      expect(steps.length - step).toBeOneOf([0, 1]);
      expect(steps).toEqual(steps.map((_, i) => i + 1));
      expect(stepsOf(join(path, "rollouts.jsonl")).length).toBeGreaterThanOrEqual(2 * step);
      run.rewind(atStep(step - 1));
      expect(stepsOf(join(path, "metrics.jsonl"))).toHaveLength(step - 1);
      expect(stepsOf(join(path, "rollouts.jsonl"))).toHaveLength(2 * (step - 1));
      await run.close();
    }
  });
});

describe("one process writes a run", () => {
  it("and a second is refused until it ends", async () => {
    const run = RunDirectory.create(runs(), description());
    expect(codeOf(() => RunDirectory.open(run.path))).toBe("run_locked");
    const script = `
      import { RunDirectory } from ${JSON.stringify(module)};
      try { RunDirectory.open(${JSON.stringify(run.path)}); } catch (error) { console.log(error.message); }`;
    const other = (): string =>
      spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
        encoding: "utf8",
      }).stdout;
    expect(other()).toContain(`process ${process.pid} on ${hostname()}`);
    await run.close();
    expect(other()).toBe("");
    await RunDirectory.open(run.path).close();
  });

  it("also after a container has started again with the same process ids", async () => {
    const path = await finishedRun(1);
    writeFileSync(join(path, ".lock"), `${process.pid} ${hostname()}`);
    await RunDirectory.open(path).close();
    expect(existsSync(join(path, ".lock"))).toBe(false);
  });

  it("and gives the lock back when it cannot be opened", async () => {
    const path = await finishedRun(1);
    truncateSync(join(path, "run.json"), 10);
    expect(codeOf(() => RunDirectory.open(path))).toBe("file_invalid");
    expect(existsSync(join(path, ".lock"))).toBe(false);
  });
});

it("what is no run is not opened, and nothing is left there", () => {
  mkdirSync(join(runs(), "empty"));
  expect(codeOf(() => RunDirectory.open(join(runs(), "empty")))).toBe("run_not_found");
  expect(codeOf(() => RunDirectory.open(join(runs(), "absent")))).toBe("run_not_found");
  expect(readdirSync(runs())).toEqual(["empty"]);
  expect(readdirSync(join(runs(), "empty"))).toEqual([]);
});
