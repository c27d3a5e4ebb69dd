/** Clusters of processes, and what befalls them: ends in the middle, by whatever hand. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Token } from "../../../cluster/index.ts";
import {
  allArguments,
  argumentOf,
  childrenOf,
  doorOf,
  doorSaid,
  hasMembers,
  isAlive,
  type SeenProcess,
  until,
  useGate,
} from "../../support/cluster-processes.ts";
import { forgeGpu, listenTo, type Started, says, useForgeGpu } from "../../support/command.ts";
import {
  bitsOf,
  linesOf,
  onlyRun,
  runsOf,
  stepsOf,
  tinyConfig,
  useFolder,
  writeConfig,
} from "../../support/training-run.ts";

const folder = useFolder("cluster-command");
const gate = useGate(folder);
const start = useForgeGpu();

/** Sixteen episodes a step, none of which begins before the gate is open. */
function configOf(name: string, steps: number): string {
  return writeConfig(
    folder,
    tinyConfig({
      ...{ name, environment: gate.environment, train: { steps } },
      ...{ eval: { every: steps }, checkpoint: { every: 0 } },
      rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16 },
    }),
  );
}

/** Starts nodes on this machine; all have joined when it is fulfilled, and nothing is sampled yet. */
async function startLocal(
  nodes: number,
  ...args: readonly string[]
): Promise<{ readonly parent: Started; readonly children: readonly SeenProcess[] }> {
  const parent = start("train", ...args, "--nodes", `${nodes}`);
  const children = await until(() => {
    const found = childrenOf(parent.child.pid).filter((child) => child.args.includes("--rdzv"));
    return found.length === nodes - 1 ? found : undefined;
  });
  await hasMembers(await doorOf(children[0] as SeenProcess), nodes);
  return { parent, children };
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("train --nodes", () => {
  it("one of three is killed: the run goes on to its end, says so, and tells nobody its token", async () => {
    const { parent, children } = await startLocal(3, configOf("killed", 6));
    const [victim, other] = children as [SeenProcess, SeenProcess];
    const file = argumentOf("--token-file", victim);
    const secret = readFileSync(file, "utf8").trim();
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    expect(allArguments()).not.toContain(secret);
    gate.open();
    await says(parent, "step 2 of");
    process.kill(victim.pid, "SIGKILL");
    const { code, stdout, stderr } = await parent.done;
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`${argumentOf("--node-id", victim)} has ended (SIGKILL)`);
    expect(stderr).not.toContain(`${argumentOf("--node-id", other)} has ended`);
    const [run] = runsOf(folder, "killed") as [string];
    const lines = linesOf(join(run, "metrics.jsonl"));
    expect(lines.map(({ step }) => step)).toEqual(numbers(0, 6));
    expect(lines.at(-1)).toHaveProperty("eval/reward_mean");
    expect(stepsOf(run)).toEqual(["step-000006"]);
    expect(isAlive(other.pid)).toBe(false);
    expect(existsSync(file)).toBe(false);
    const kept = ["run.json", "metrics.jsonl", "rollouts.jsonl"].map((name) =>
      readFileSync(join(run, name), "utf8"),
    );
    expect([stdout, stderr, ...kept].join()).not.toContain(secret);
  });

  it("Ctrl-C, which all processes get: the step is saved, nobody is left, and others go on with it", async () => {
    const config = configOf("interrupted", 10_000);
    const first = await startLocal(3, config, "--set", "seed=5");
    gate.open();
    await says(first.parent, "step 2 of");
    for (const { pid } of first.children) process.kill(pid, "SIGINT");
    first.parent.child.kill("SIGINT");
    const { code, stdout, stderr } = await first.parent.done;
    expect(code, stderr).toBe(130);
    expect(stderr).not.toContain("has ended");
    for (const { pid } of first.children) expect(isAlive(pid)).toBe(false);
    const [, step, command] = /interrupted after step (\d+); go on with:\n {2}(.*)\n/.exec(
      stdout,
    ) as unknown as [string, string, string];
    expect(command).toMatch(/ --nodes 3 --sync zero1 --wire f32 --set seed=5$/);
    const [run] = runsOf(folder, "interrupted") as [string];
    expect(stepsOf(run)).toEqual([`step-${step.padStart(6, "0")}`]);
    gate.close();
    const end = Number(step) + 2;
    const again = await startLocal(
      ...([2, config, "--resume", run, "--set", "seed=5", "--set", `train.steps=${end}`] as const),
    );
    gate.open();
    const resumed = await again.parent.done;
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(linesOf(join(run, "metrics.jsonl")).map((line) => line["step"])).toEqual(
      numbers(0, end),
    );
  });

  it("diloco: weights go round at every second step, and an interrupted run says how to go on so", async () => {
    const outer = ["--outer-lr", "0.9", "--outer-momentum", "0.25"];
    const way = ["--sync", "diloco:2", ...outer];
    const { parent, children } = await startLocal(2, configOf("seldom", 10_000), ...way);
    expect((children[0] as SeenProcess).args.join(" ")).toContain(way.join(" "));
    gate.open();
    await says(parent, "step 4 of");
    parent.child.kill("SIGINT");
    const { code, stdout, stderr } = await parent.done;
    expect(code, stderr).toBe(130);
    expect(stdout).toContain(` --nodes 2 ${way.join(" ")} --wire f32`);
    const [run] = runsOf(folder, "seldom") as [string];
    const sent = linesOf(join(run, "metrics.jsonl")).map((line) => Number(line["cluster/sent_mb"]));
    const [, one, two, three, four] = sent as [number, number, number, number, number];
    expect(Math.max(one, three)).toBeLessThan(Math.min(two, four));
    const { isDeterministic, nondeterminism } = JSON.parse(
      readFileSync(join(run, "run.json"), "utf8"),
    );
    expect([isDeterministic, nondeterminism.join()]).toEqual([
      false,
      expect.stringContaining("every 2 steps"),
    ]);
  });

  it.each([
    [["--sync", "dilco:8"], "diloco:H"],
    [["--outer-lr", "0.5"], "--outer-lr is of no use here"],
  ])("%j is refused", async (flags, text) => {
    const { code, stderr } = await forgeGpu(["train", configOf("refused", 1), ...flags]);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expect(existsSync(join(folder, "runs", "refused"))).toBe(false);
  });
});

describe("node", () => {
  it("three nodes agree; the one that leads is killed, and the others end with the same bits", async () => {
    const config = configOf("nodes", 6);
    const file = join(folder, "token");
    await Token.create().write(file);
    const secret = readFileSync(file, "utf8").trim();
    const node = (id: string, ...args: readonly string[]): Started => {
      const own = ["--node-id", id, "--state-dir", join(folder, id), ...args];
      return start("node", config, "--token-file", file, "--run-id", "demo", ...own);
    };
    const a = node("a", "--metrics", ":0");
    const said = listenTo(a);
    const { address, runId } = await doorSaid(a);
    const others = ["b", "c"].map((id) => node(id, "--rdzv", address));
    await hasMembers({ address, runId, token: await Token.read(file) }, 3);
    const other = join(folder, "other-token");
    await Token.create().write(other);
    const look = ["cluster", "status", "--rdzv", address, "--run-id", "demo", "--json"];
    const [status, stranger] = await Promise.all([
      forgeGpu([...look, "--token-file", file]),
      forgeGpu([
        ...["node", config, "--token-file", other, "--run-id", "demo", "--rdzv", address],
        ...["--state-dir", join(folder, "x")],
      ]),
    ]);
    expect(status.code, status.stderr).toBe(0);
    const { members, leader, step, hash } = JSON.parse(status.stdout);
    expect({ leader, step }).toEqual({ leader: "a", step: 0 });
    for (const { status: own, error } of members)
      expect([error, own.hash, own.leader, own.members]).toEqual([
        null,
        hash,
        "a",
        ["a", "b", "c"],
      ]);
    expect(members).toHaveLength(3);
    expect(stranger.code, stranger.stderr).toBe(78);
    expect(stranger.stderr).toContain("[peer_unauthorized]");
    expect(allArguments()).not.toContain(secret);
    const scraped = await until(() => /http:\S+\/metrics/.exec(said())?.[0]);
    expect(await (await fetch(scraped)).text()).toContain("\nforge_gpu_node_members 3\n");
    gate.open();
    await says(a, "step 2 of");
    const scrape = await fetch(scraped);
    expect(scrape.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await scrape.text()).toMatch(
      /\nforge_gpu_step [2-6]\n[\s\S]*\nforge_gpu_reward_mean \d/,
    );
    a.child.kill("SIGKILL");
    const outcomes = await Promise.all(others.map(({ done }) => done));
    for (const { code, stderr } of outcomes) expect(code, stderr).toBe(0);
    const runs = ["b", "c"].map((id) => onlyRun(join(folder, id), "nodes"));
    const [b, c] = runs.map((run) => bitsOf(run));
    expect(stepsOf(runs[0] as string).at(-1)).toBe("step-000006");
    for (const name of ["policy.safetensors", "optimizer.safetensors"])
      expect(b?.files[name]).toBe(c?.files[name]);
    expect(b?.files["policy.safetensors"]).toMatch(/^[0-9a-f]{64}$/);
    const again = node("b", "--resume", "--set", "train.steps=7");
    const resumed = await again.done;
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stderr).toContain(`goes on with ${runs[0]}`);
    expect(onlyRun(join(folder, "b"), "nodes")).toBe(runs[0]);
    expect(stepsOf(runs[0] as string).at(-1)).toBe("step-000007");
    const all = [...outcomes, resumed, status, stranger, await a.done];
    expect(all.map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain(secret);
  });
});
