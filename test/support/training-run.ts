/** Training runs of the command line on a model of a few hundred weights: seconds each. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll } from "vitest";
import type { TrainConfigInput } from "../../src/train/config/types.ts";
import { ALPHABET } from "./branching-environment.ts";
import { type Outcome, type Started, startForgeGpu } from "./command.ts";

/** Where tests may write; it is gone after them. */
export function useFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `forge-gpu-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Path of a module of this folder. */
export function supportFile(name: string): string {
  return resolve(import.meta.dirname, name);
}

/** A configuration of a tiny run. Sections given replace keys of the same names only. */
export function tinyConfig(given: TrainConfigInput = {}): TrainConfigInput {
  const { rollout, train, model, ...rest } = given;
  return {
    ...{ name: "tiny", seed: 3, environment: supportFile("branching-environment.ts") },
    optimizer: { lr: 0.01 },
    reward: { truncated: "score" },
    eval: { every: 3 },
    checkpoint: { every: 2, keep: 3 },
    ...rest,
    model: {
      create: {
        ...{ layers: 1, width: 16, heads: 2, maxLength: 32 },
        tokenizer: { kind: "characters", alphabet: ALPHABET },
      },
      ...model,
    },
    rollout: {
      groupSize: 2,
      groupsPerStep: 2,
      slots: 2,
      batch: 8,
      stepsPerReadback: 2,
      ...rollout,
    },
    train: { steps: 6, tokenBudget: 512, ...train },
  };
}

/** Writes a configuration whose runs lie beside it, and returns its path. */
export function writeConfig(folder: string, config: TrainConfigInput): string {
  const path = join(folder, `${config.name ?? "tiny"}.json`);
  const run = { directory: join(folder, "runs"), ...config.run };
  writeFileSync(path, JSON.stringify({ ...config, run }));
  return path;
}

/** Starts `forge-gpu train`. */
export function startTrain(config: string, ...args: readonly string[]): Started {
  return startForgeGpu(["train", config, ...args]);
}

/** Runs `forge-gpu train` to its end. */
export function trainBy(config: string, ...args: readonly string[]): Promise<Outcome> {
  return startTrain(config, ...args).done;
}

/** The directories of the runs of a configuration, oldest first. */
export function runsOf(folder: string, name = "tiny"): string[] {
  const parent = join(folder, "runs", name);
  return readdirSync(parent)
    .sort()
    .map((time) => join(parent, time));
}

/** The only run of a name in a folder of runs. */
export function onlyRun(runs: string, name: string): string {
  const [first, ...others] = readdirSync(join(runs, name));
  if (first === undefined || others.length > 0)
    throw new Error(`${runs} has ${first === undefined ? "no" : "several"} ${name}`);
  return join(runs, name, first);
}

/** What a run has learned and said, less what tells the time: equal for runs that are the same. */
export interface RunBits {
  /** SHA-256 by file: weights and moments of the last checkpoint, and the log of episodes. */
  readonly files: Readonly<Record<string, string>>;
  /** The lines of metrics.jsonl. */
  readonly metrics: readonly Readonly<Record<string, unknown>>[];
}

const TELLS_TIME = /^(wall_time$|time\/|throughput\/|yield\/(throughput|j)$)/;

/** See {@link RunBits}. */
export function bitsOf(run: string): RunBits {
  const checkpoint = join(run, "checkpoints", stepsOf(run).at(-1) as string);
  const tensors = readdirSync(checkpoint).filter((name) => name.endsWith(".safetensors"));
  const paths = [
    ...tensors.map((name) => [name, join(checkpoint, name)] as const),
    ["rollouts.jsonl", join(run, "rollouts.jsonl")] as const,
  ];
  return {
    files: Object.fromEntries(paths.map(([name, path]) => [name, digestOf(path)])),
    metrics: linesOf(join(run, "metrics.jsonl")).map((line) =>
      Object.fromEntries(Object.entries(line).filter(([key]) => !TELLS_TIME.test(key))),
    ),
  };
}

/** Names of the folders of a run's checkpoints, oldest first. */
export function stepsOf(run: string): string[] {
  return readdirSync(join(run, "checkpoints"))
    .filter((name) => name.startsWith("step-"))
    .sort();
}

/** The lines of a log. */
export function linesOf(path: string): Record<string, unknown>[] {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

function digestOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
