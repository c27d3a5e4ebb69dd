/** Runs in a {@link faultyWorld}, and what stays behind of them. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { ToolCallRecord } from "../../src/agent/message.ts";
import type { SessionStatus } from "../../src/pool/record.ts";
import type { TrainConfigInput } from "../../src/train/config/types.ts";
import {
  FAULTY_ALPHABET,
  type FaultyWorld,
  faultyWorld,
  JUDGED,
  TOKEN_PAY,
} from "./faulty-world.ts";
import { NotedView, trainHere } from "./train-here.ts";
import { linesOf } from "./training-run.ts";

const [GROUP, GROUPS] = [4, 4];
/** Episodes of a step. */
const EPISODES = GROUP * GROUPS;
/** α of the reward. */
const PROCESS = 0.1;
const BROKEN = ["malformed", "unknown_tool", "invalid_input"];

/** An episode, as rollouts.jsonl has it. */
export interface LoggedEpisode {
  readonly step: number;
  readonly session: string;
  readonly status: SessionStatus;
  readonly takesPart: boolean;
  readonly reward: number | null;
  readonly components: Readonly<Record<string, number | null>>;
  readonly toolCalls: readonly ToolCallRecord[];
  readonly turns: readonly {
    readonly request: number;
    readonly responseIds: readonly number[];
    readonly advantages?: readonly number[];
  }[];
}

/** What a run in a faulty world came to. */
export interface FaultRun {
  readonly episodes: readonly LoggedEpisode[];
  readonly world: Pick<FaultyWorld, "faults" | "kinds">;
  /** Bytes that JavaScript held after a collection, before each step. */
  readonly held: readonly number[];
}

/** Trains on `steps` steps of 16 episodes. Nothing that the run or its world has opened may be left when it returns. */
export async function runAmongFaults(
  folder: string,
  { steps, kills }: { readonly steps: number; readonly kills: number },
): Promise<FaultRun> {
  const before = resources();
  const held: number[] = [];
  const warnings: Error[] = [];
  const onWarning = (warning: Error): unknown => warnings.push(warning);
  process.on("warning", onWarning);
  await using world = await faultyWorld({ kills });
  const view = new NotedView();
  view.onPhase = (phase) => {
    if (!phase.startsWith("sampling")) return;
    world.begin();
    held.push(heldBytes());
  };
  const { ended, directory } = await trainHere(
    folder,
    { ...config(steps), environment: world.environment },
    { view },
  );
  expect(ended).toBe("done");
  await world[Symbol.asyncDispose]();
  process.off("warning", onWarning);
  // Node warns of listeners that pile up
  expect(warnings).toEqual([]);
  // timers of calls that nobody waited for run out
  for (let i = 0; i < 40 && leftOver(before).length > 0; i++) await sleep(100);
  expect(leftOver(before)).toEqual([]);
  const episodes = linesOf(join(directory, "rollouts.jsonl")) as unknown as LoggedEpisode[];
  expect(linesOf(join(directory, "metrics.jsonl"))).toHaveLength(steps);
  expect(episodes).toHaveLength(steps * EPISODES);
  return { episodes, world, held };
}

function config(steps: number): TrainConfigInput {
  const tokenizer = { kind: "characters", alphabet: FAULTY_ALPHABET, chat: true } as const;
  return {
    ...{ name: "faults", seed: 5 },
    model: { create: { layers: 1, width: 32, heads: 2, maxLength: 128, tokenizer } },
    algorithm: { name: "forge" },
    reward: { process: PROCESS, speed: 0, truncated: "score" },
    rollout: { groupSize: GROUP, groupsPerStep: GROUPS, slots: 6, window: 0.5, batch: 24 },
    optimizer: { lr: 1e-4 },
    train: { steps, tokenBudget: 4096, warmStart: { steps: 20, batch: 4, lr: 0.01 } },
    eval: { every: 0 },
    checkpoint: { every: 0 },
    run: { rolloutsEvery: 1 },
  };
}

/**
 * What an episode must be paid: for its tokens, by the judge where it answered, and less for calls that are none. What tools,
 * servers and judges did wrong is in none of it; one that failed itself is paid nothing, and trained on nowhere.
 */
export function expectPaidFor(episode: LoggedEpisode): void {
  const { status, takesPart, reward, components, toolCalls, turns } = episode;
  const isScored = status === "completed" || status === "truncated";
  if (!isScored) {
    expect({ takesPart, reward }).toEqual({ takesPart: false, reward: null });
    expect(Object.values(components).filter((value) => value !== null)).toEqual([]);
    expect(turns.filter(({ advantages }) => advantages !== undefined)).toEqual([]);
    return;
  }
  const sampled = turns.reduce((sum, { responseIds }) => sum + responseIds.length, 0);
  const { judged = null } = components;
  expect([null, JUDGED]).toContain(judged);
  expect(components["tokens"]).toBeCloseTo(TOKEN_PAY * sampled, 6);
  const broken = new Set(
    toolCalls.flatMap(({ status: of, requestIndex }) =>
      BROKEN.includes(of) ? [requestIndex] : [],
    ),
  );
  expect(takesPart).toBe(true);
  expect(reward).toBeCloseTo(TOKEN_PAY * sampled + (judged ?? 0) - PROCESS * broken.size, 6);
}

/** What this process has open: its children, and the kinds of what would keep it alive. */
function resources(): string[] {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" });
  const children = stdout
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent, name]) => Number(parent) === process.pid && name !== "ps")
    .map(([pid, , name]) => `process ${pid} ${name}`);
  return [...children, ...process.getActiveResourcesInfo()];
}

/** What is open beyond what was. */
function leftOver(before: readonly string[]): string[] {
  const known = [...before];
  return resources().filter((each) => {
    const at = known.indexOf(each);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
}

function heldBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
