/** Nodes whose disks fill up in the middle of a run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Token } from "../../../cluster/index.ts";
import {
  childrenOf,
  doorSaid,
  hasMembers,
  isAlive,
  until,
  useGate,
} from "../../support/cluster-processes.ts";
import { type Started, says, useForgeGpu } from "../../support/command.ts";
import { SmallDisk } from "../../support/small-disk.ts";
import {
  linesOf,
  onlyRun,
  stepsOf,
  tinyConfig,
  useFolder,
  writeConfig,
} from "../../support/training-run.ts";

const folder = useFolder("cluster-disk");
const gate = useGate(folder);
const start = useForgeGpu();
const { obstacle } = SmallDisk;

/** A run of so many steps, each with a checkpoint, none of which begins before the gate is open. */
function configOf(name: string, steps: number, directory: string): string {
  return writeConfig(
    folder,
    tinyConfig({
      ...{ name, environment: gate.environment, train: { steps } },
      ...{ eval: { every: 0 }, checkpoint: { every: 1, keep: 2 } },
      rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16 },
      run: { directory },
    }),
  );
}

const numbers = (to: number): number[] => Array.from({ length: to }, (_, i) => i + 1);

describe.skipIf(obstacle !== undefined)(
  `disks that fill up${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`,
  () => {
    it("of the process that keeps the run: it ends, and says why; with room again --resume goes on", async () => {
      using disk = new SmallDisk(4);
      const config = configOf("kept", 12, disk.path);
      const first = start("train", config, "--nodes", "2");
      const [child] = await until(() => {
        const found = childrenOf(first.child.pid).filter(({ args }) => args.includes("--rdzv"));
        return found.length === 1 ? found : undefined;
      });
      gate.open();
      await says(first, "step 2 of");
      disk.fill();
      const { code, stderr } = await first.done;
      expect(code, stderr).toBe(1);
      expect(stderr).toContain("[disk_full]");
      expect(stderr).toContain("make room");
      expect(isAlive(child?.pid as number)).toBe(false);
      const run = onlyRun(disk.path, "kept");
      const before = linesOf(join(run, "metrics.jsonl")).map(({ step }) => step);
      expect(before).toEqual(numbers(before.length));
      expect(before.length).toBeLessThan(12);
      disk.clear();
      const again = await start("train", config, "--nodes", "2", "--resume", run).done;
      expect(again.code, again.stderr).toBe(0);
      expect(linesOf(join(run, "metrics.jsonl")).map(({ step }) => step)).toEqual(numbers(12));
      const rollouts = linesOf(join(run, "rollouts.jsonl")).map(({ step }) => step);
      expect(new Set(rollouts)).toEqual(new Set(numbers(12)));
      expect(stepsOf(run).at(-1)).toBe("step-000012");
      expect(readFileSync(join(run, "run.json"), "utf8")).toContain('"resumed"');
    });

    it.each([
      ["leads", 0],
      ["follows", 1],
    ])("of a node that %s: it ends, and says why; the other one goes on", async (_, victim) => {
      using disk = new SmallDisk(4);
      const [name, file] = [`full-${victim}`, join(folder, `token-${victim}`)];
      const token = Token.create();
      await token.write(file);
      const places = [0, 1].map((i) => (i === victim ? disk.path : join(folder, `${name}-${i}`)));
      const config = configOf(name, 12, folder);
      const node = (i: number, ...args: readonly string[]): Started =>
        start(
          ...["node", config, "--token-file", file, "--run-id", "demo", "--node-id", `n${i}`],
          ...["--state-dir", places[i] as string, ...args],
        );
      const leading = node(0);
      const { address, runId } = await doorSaid(leading);
      const nodes = [leading, node(1, "--rdzv", address)];
      await hasMembers({ address, runId, token }, 2);
      gate.open();
      await says(nodes[victim] as Started, "step 2 of");
      disk.fill();
      const outcomes = await Promise.all(nodes.map(({ done }) => done));
      const [full, other] = [outcomes[victim], outcomes[1 - victim]];
      expect(full?.code, full?.stderr).toBe(1);
      expect(full?.stderr).toContain("[disk_full]");
      expect(other?.code, other?.stderr).toBe(0);
      const runs = places.map((place) => onlyRun(place, name));
      const steps = runs.map((run) => linesOf(join(run, "metrics.jsonl")).map(({ step }) => step));
      expect(steps[1 - victim]).toEqual(numbers(12));
      // as far as it came, nothing is missing, and no line is half a line
      expect(steps[victim]).toEqual(numbers(steps[victim]?.length ?? 0));
      expect(stepsOf(runs[1 - victim] as string).at(-1)).toBe("step-000012");
    });
  },
);
