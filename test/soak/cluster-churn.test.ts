/**
 * Nodes that come and go for half an hour, as PCCL's stress test has them: every half a second to two seconds one is started (60 %)
 * or killed (40 %), the leader as soon as any other, never fewer than two. `FORGE_SOAK_MINUTES` makes it shorter.
 */
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { seeded } from "../support/cluster/random.ts";
import { SummingProcess } from "../support/cluster/summing-process.ts";

const MINUTES = Number(process.env["FORGE_SOAK_MINUTES"] ?? 30);
const MOST = 6;
/** Milliseconds without a step, after which nothing goes on any more: a busy machine starts processes slowly. */
const STUCK = 60_000;
/** Bytes that a node may hold: Node itself takes 60 to 100 MiB. */
const MEMORY = 400 * 2 ** 20;

const nodes: SummingProcess[] = [];
const random = seeded(7);
/** Of each step, as whoever committed it has said. */
const hashes = new Map<number, string>();
const counts = { spawned: 0, killed: 0, steps: 0, longestMs: 0, memory: 0 };
let folder = "";
let name = 0;
let movedAt = 0;

afterAll(async () => {
  for (const { process: child } of nodes) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

async function spawn(): Promise<void> {
  const contact = living().find(({ step, url }) => step > 0 && url !== undefined)?.url;
  const id = `n${String(name++).padStart(5, "0")}`;
  const common = { id, runId: "0f".repeat(16), token: "5a".repeat(32), folder, hasThreads: true };
  const node = new SummingProcess({ ...common, ...(contact !== undefined && { contact }) });
  nodes.push(node);
  counts.spawned++;
  while (node.url === undefined && node.process.exitCode === null) await sleep(20);
}

function living(): SummingProcess[] {
  return nodes.filter(
    ({ process: { exitCode, signalCode } }) => exitCode === null && signalCode === null,
  );
}

/** Takes in what nodes have said since: every step has one hash. */
function note(): void {
  for (const node of nodes) {
    for (const { step, hash, at } of node.commits) {
      const known = hashes.get(step);
      if (known === undefined) {
        hashes.set(step, hash);
        if (movedAt > 0) counts.longestMs = Math.max(counts.longestMs, at - movedAt);
        movedAt = Math.max(movedAt, at);
      } else if (known !== hash) throw new Error(`step ${step} has two states`);
    }
    // the last one says how far it is
    if (node.events.length > 1000) node.events.splice(1, node.events.length - 10);
  }
  counts.steps = hashes.size;
}

async function watchMemory(): Promise<void> {
  for (const { process: child } of living()) {
    const text = await readFile(`/proc/${child.pid}/status`, "utf8").catch(() => "");
    counts.memory = Math.max(counts.memory, 1024 * Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0));
  }
}

/** States that nobody asks for any more. */
async function clean(): Promise<void> {
  for (const file of await readdir(folder)) {
    const path = join(folder, file);
    const { mtimeMs = Date.now() } = (await stat(path).catch(() => undefined)) ?? {};
    if (Date.now() - mtimeMs > 30_000) await rm(path, { force: true });
  }
}

it("a cluster outlives its members", { timeout: (MINUTES + 5) * 60_000 }, async ({ annotate }) => {
  folder = await mkdtemp(join(tmpdir(), "churn-"));
  await spawn();
  while ((nodes[0] as SummingProcess).step === 0) await sleep(20);
  await spawn();
  const end = Date.now() + MINUTES * 60_000;
  let cleanedAt = Date.now();
  while (Date.now() < end) {
    await sleep(500 + 1500 * random.next());
    const there = living();
    const joined = there.filter(({ step }) => step > 0);
    const isSpawning = random.chance(0.6) ? there.length < MOST : joined.length < 3;
    if (isSpawning) await spawn();
    else if (joined.length > 2) {
      joined[random.below(joined.length)]?.process.kill("SIGKILL");
      counts.killed++;
    }
    note();
    await watchMemory();
    expect(Date.now() - movedAt, "milliseconds since the last step").toBeLessThan(STUCK);
    if (Date.now() - cleanedAt > 20_000) await clean();
    if (Date.now() - cleanedAt > 20_000) cleanedAt = Date.now();
  }
  await annotate(JSON.stringify({ minutes: MINUTES, ...counts }));
  process.stderr.write(`churn: ${JSON.stringify({ minutes: MINUTES, ...counts })}\n`);
  expect(counts.killed).toBeGreaterThan(5 * MINUTES);
  expect(counts.memory).toBeLessThan(MEMORY);
});
