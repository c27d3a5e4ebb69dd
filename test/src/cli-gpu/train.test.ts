import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/train/config/load.ts";
import { printConfig } from "../../../src/train/config/print.ts";
import { forgeGpu, says } from "../../support/command.ts";
import {
  linesOf,
  runsOf,
  startTrain,
  stepsOf,
  tinyConfig,
  trainBy,
  useFolder,
  writeConfig,
} from "../../support/training-run.ts";

const folder = useFolder("train-command");

/** A configuration that runs until it is interrupted. */
function endless(name: string): string {
  return writeConfig(
    folder,
    tinyConfig({ name, train: { steps: 10_000 }, checkpoint: { every: 1000 }, eval: { every: 0 } }),
  );
}

describe("forge-gpu train", () => {
  it("keeps others off, finishes its step at Ctrl-C, saves it, and says how to go on", async () => {
    const config = endless("interrupted");
    const started = startTrain(config, "--set", "seed=5");
    await says(started, "step 2 of");
    const other = await trainBy(config, "--resume");
    expect({ code: other.code, stdout: other.stdout }).toEqual({ code: 1, stdout: "" });
    expect(other.stderr).toContain("[run_locked]");
    started.child.kill("SIGINT");
    const { code, stdout, stderr } = await started.done;
    expect(code).toBe(130);
    expect(stderr).toContain("once more ends at once");
    const [run] = runsOf(folder, "interrupted") as [string];
    const [, step, command] = /interrupted after step (\d+); go on with:\n {2}(.*)\n/.exec(
      stdout,
    ) as unknown as [string, string, string];
    expect(command).toMatch(/^forge-gpu train \S+interrupted.json --resume \S+ --set seed=5$/);
    expect(stepsOf(run)).toEqual([`step-${step.padStart(6, "0")}`]);
    expect(linesOf(join(run, "metrics.jsonl"))).toHaveLength(Number(step));
    const more = Number(step) + 1;
    const words = command.split(" ").slice(1);
    const resumed = await forgeGpu([...words, "--set", `train.steps=${more}`]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const lines = linesOf(join(run, "metrics.jsonl"));
    expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: more }, (_, i) => i + 1));
  });

  it("ends at a second one at once, and at SIGTERM as at Ctrl-C", async () => {
    const hung = writeConfig(
      folder,
      tinyConfig({ name: "hung", environment: join(folder, "hung.ts"), eval: { every: 0 } }),
    );
    writeFileSync(
      join(folder, "hung.ts"),
      `import { defineEnvironment } from "forge-gpu";
export const environment = defineEnvironment({
  name: "hung", tasks: { train: [0] }, rewards: { none: () => 0 }, play: () => new Promise(() => {}),
});`,
    );
    const started = startTrain(hung);
    // it is not deterministic, and says why; and it waits rather than ends for want of anything to do
    await says(started, 'not deterministic: environment "hung" is not declared pure');
    await sleep(1000);
    started.child.kill("SIGINT");
    await says(started, "once more ends at once");
    started.child.kill("SIGINT");
    await started.done;
    expect(started.child.signalCode).toBe("SIGINT");

    const terminated = startTrain(endless("terminated"));
    await says(terminated, "step 1 of");
    terminated.child.kill("SIGTERM");
    const { code, stdout } = await terminated.done;
    expect(code).toBe(143);
    expect(stdout).toContain("go on with:");
  });

  it("prints one document with --json, and nothing but warnings with --quiet", async () => {
    const config = writeConfig(
      folder,
      tinyConfig({ name: "document", train: { steps: 2 }, eval: { every: 2 } }),
    );
    const { code, stdout, stderr } = await trainBy(config, "--json", "--quiet");
    expect(code, stderr).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ steps: 2, ended: "done", nondeterminism: [] });
    expect(document.directory).toBe(runsOf(folder, "document")[0]);
    expect(document.after.policyVersion).toBe(2);
    expect(stderr).not.toMatch(/^step/m);
    const record = JSON.parse(readFileSync(join(document.directory, "run.json"), "utf8"));
    expect(record).toMatchObject({ isDeterministic: true, directory: folder, seed: 3 });
  });

  it("takes wrong keys, values and files for wrong usage", async () => {
    const config = writeConfig(folder, tinyConfig({ name: "typos" }));
    for (const [args, hint] of [
      [[config, "--set", "rollout.grupSize=4"], "rollout.groupSize"],
      [[join(folder, "none.yaml")], "cannot be read"],
    ] as const) {
      const { code, stdout, stderr } = await trainBy(...(args as unknown as [string]));
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(hint);
    }
  });

  it("prints a configuration that it takes back", async () => {
    const config = writeConfig(folder, tinyConfig({ name: "printed" }));
    const first = await trainBy(config, "--print-config", "--set", "optimizer.lr=0.5");
    const copy = join(folder, "copy.yaml");
    writeFileSync(copy, first.stdout);
    expect(printConfig((await loadConfig(copy)).config)).toBe(first.stdout);
    expect(first.stdout).toContain("lr: 0.5");
  });
});
