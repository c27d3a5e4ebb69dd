/**
 * Nodes that train, and come and go for half an hour: one is started (60 %) or killed (40 %), the leader as soon as any other, never
 * fewer than two. A node on a software adapter needs ten to twenty seconds of a processor before it trains, so the times between
 * are eight to sixteen seconds, where PCCL's stress test has half a second to two. `FORGE_SOAK_MINUTES` makes it shorter.
 */
import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { askStatus, type ClusterStatus, NodeClient, Token } from "../../cluster/index.ts";
import { seeded } from "../support/cluster/random.ts";
import { type Started, startForgeGpu } from "../support/command.ts";
import { tinyConfig, useFolder, writeConfig } from "../support/training-run.ts";

const MINUTES = Number(process.env["FORGE_SOAK_MINUTES"] ?? 30);
const MOST = 5;
/** Milliseconds without a step, after which nothing goes on any more: a busy machine compiles slowly. */
const STUCK = 180_000;
/** Bytes that a node may hold: Node, the sources, and a GPU in software. */
const MEMORY = 2 ** 30;
const GROUPS = 4;
const EPISODES = 16;

/** A process, and what is known of it. */
interface TrainingProcess {
  readonly id: string;
  readonly started: Started;
  address: string | undefined;
  status: ClusterStatus | undefined;
}

const folder = useFolder("churn-training");
const token = Token.create();
const random = seeded(11);
const nodes: TrainingProcess[] = [];
/** Of states, as nodes that have them say, by their steps. */
const hashes = new Map<number, string>();
const counts = { spawned: 0, killed: 0, leadersKilled: 0, steps: 0, longestMs: 0, memory: 0 };
let runId = "";
let movedAt = 0;

afterAll(async () => {
  for (const { started } of nodes) started.child.kill("SIGKILL");
  await Promise.all(nodes.map(({ started }) => started.done));
});

function living(): TrainingProcess[] {
  return nodes.filter(
    ({ started: { child } }) => child.exitCode === null && child.signalCode === null,
  );
}

/** Those who train. */
function members(): TrainingProcess[] {
  return living().filter(({ id, status }) => status?.members.includes(id));
}

async function spawn(config: string): Promise<void> {
  const id = `n${String(nodes.length).padStart(5, "0")}`;
  const contact = members()[0]?.address;
  const started = startForgeGpu([
    ...["node", config, "--node-id", id, "--state-dir", join(folder, id), "--run-id", "churn"],
    ...["--token-file", join(folder, "token"), "--world", "2:16"],
    ...(contact === undefined ? [] : ["--rdzv", contact]),
  ]);
  const node: TrainingProcess = { id, started, address: undefined, status: undefined };
  let said = "";
  started.child.stderr?.on("data", (part: Buffer) => {
    if (node.address !== undefined) return;
    said += part;
    node.address = /listens at (ws:\S+)\n/.exec(said)?.[1];
    runId ||= /of run ([0-9a-f]{32})/.exec(said)?.[1] ?? "";
  });
  nodes.push(node);
  counts.spawned++;
}

/** Asks all nodes how far they are: every state has one hash. */
async function look(): Promise<void> {
  if (runId === "") return;
  using client = new NodeClient({ runId, token, nodeId: "onlooker", role: "trainer" });
  await Promise.all(
    living().map(async (node) => {
      if (node.address === undefined) return;
      // one that compiles, or has just been killed, says nothing
      node.status = await askStatus(client, node.address).catch(() => node.status);
    }),
  );
  for (const { status } of members()) if (status && status.step > 0) note(status);
}

function note({ step, hash }: ClusterStatus): void {
  const known = hashes.get(step);
  if (known !== undefined && known !== hash) throw new Error(`step ${step} has two states`);
  hashes.set(step, hash);
  if (step <= counts.steps) return;
  counts.steps = step;
  counts.longestMs = Math.max(counts.longestMs, Date.now() - movedAt);
  movedAt = Date.now();
}

async function watchMemory(): Promise<void> {
  for (const { started } of living()) {
    const status = await readFile(`/proc/${started.child.pid}/status`, "utf8").catch(() => "");
    const bytes = 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
    counts.memory = Math.max(counts.memory, bytes);
  }
}

/** Looks on for so long. */
async function onlook(ms: number): Promise<void> {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    await look();
    await watchMemory();
    expect(Date.now() - movedAt, "milliseconds since the last step").toBeLessThan(STUCK);
    await sleep(100);
  }
}

/** One member, if those that are left are enough to go on: all that the record names are alive, and more than two. */
function kill(): void {
  const there = members();
  const isWhole = there.every(({ status }) => status?.members.length === there.length);
  if (there.length < 3 || !isWhole) return;
  const victim = there[random.below(there.length)];
  victim?.started.child.kill("SIGKILL");
  counts.killed++;
  if (victim?.status?.isLeading) counts.leadersKilled++;
}

/** An episode, as whoever was in its step has written it down. */
interface Line {
  readonly step: number;
  readonly group: number;
  readonly session: string;
}

/** The lines of all runs of a file, each with its node; the last one of a process that was killed may be half a line. */
async function linesOf(name: string): Promise<(Record<string, unknown> & Line)[]> {
  const lines: (Record<string, unknown> & Line)[] = [];
  for (const { id } of nodes) {
    const parent = join(folder, id, "churn");
    for (const run of existsSync(parent) ? readdirSync(parent) : []) {
      const text = await readFile(join(parent, run, name), "utf8").catch(() => "");
      for (const line of text.split("\n").slice(0, -1))
        lines.push({ node: id, ...JSON.parse(line) });
    }
  }
  return lines;
}

/** All that nodes say of a step is the same, and nothing is in two steps, twice in one, or lost: groups go in their order. */
async function expectExact(): Promise<number> {
  const losses = new Map<number, string>();
  for (const line of await linesOf("metrics.jsonl")) {
    const said = JSON.stringify(
      ["losses/loss", "losses/grad_norm", "reward/mean"].map((k) => line[k]),
    );
    expect([line.step, said]).toEqual([line.step, losses.get(line.step) ?? said]);
    losses.set(line.step, said);
  }
  const steps = new Map<string, string[]>();
  for (const { node, step, session } of await linesOf("rollouts.jsonl")) {
    const key = `${node} ${step}`;
    steps.set(key, [...(steps.get(key) ?? []), session]);
  }
  for (const [key, sessions] of steps) {
    const step = Number(key.split(" ")[1]);
    const expected = Array.from({ length: EPISODES }, (_, i) => {
      const group = GROUPS * (step - 1) + Math.floor((GROUPS * i) / EPISODES);
      return `${group}-${i % (EPISODES / GROUPS)}`;
    });
    expect([key, sessions.toSorted(byNumbers)]).toEqual([key, expected]);
  }
  expect(losses.size).toBeGreaterThanOrEqual(counts.steps - 1);
  return steps.size;
}

function byNumbers(a: string, b: string): number {
  const [[g = 0, s = 0], [h = 0, t = 0]] = [a, b].map((text) => text.split("-").map(Number)) as [
    number[],
    number[],
  ];
  return g - h || s - t;
}

it("a training outlives its nodes", { timeout: (MINUTES + 10) * 60_000 }, async ({ annotate }) => {
  await token.write(join(folder, "token"));
  const config = writeConfig(
    folder,
    tinyConfig({
      ...{ name: "churn", train: { steps: 1_000_000 } },
      ...{ eval: { every: 0 }, checkpoint: { every: 0 }, run: { tensorboard: false } },
      rollout: {
        ...{ groupSize: EPISODES / GROUPS, groupsPerStep: GROUPS, slots: GROUPS, batch: EPISODES },
        window: "strict",
      },
    }),
  );
  movedAt = Date.now();
  await spawn(config);
  while (members().length < 1) await onlook(100);
  await spawn(config);
  while (counts.steps < 1) await onlook(100);
  counts.longestMs = 0;
  const end = Date.now() + MINUTES * 60_000;
  while (Date.now() < end) {
    await onlook(8_000 + 8_000 * random.next());
    const there = living();
    if (there.length < 3 || (random.chance(0.6) && there.length < MOST)) await spawn(config);
    else kill();
  }
  for (const { started } of living()) started.child.kill("SIGKILL");
  await Promise.all(nodes.map(({ started }) => started.done));
  const told = { minutes: MINUTES, ...counts, stepsRecorded: await expectExact() };
  await annotate(JSON.stringify(told));
  process.stderr.write(`churn of trainers: ${JSON.stringify(told)}\n`);
  expect(counts.killed).toBeGreaterThan(MINUTES);
  expect(counts.memory).toBeLessThan(MEMORY);
});
