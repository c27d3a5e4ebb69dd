/** Training runs of several nodes in this process, on the shared device: the first one founds their cluster. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { Cluster, type ClusterSettings, Token, type WireType } from "../../cluster/index.ts";
import type { Environment } from "../../src/agent/environment.ts";
import { PoolDoor } from "../../src/train/cluster/pool-door.ts";
import type { Way } from "../../src/train/cluster/way.ts";
import { parseConfig } from "../../src/train/config/parse.ts";
import type { TrainConfigInput } from "../../src/train/config/types.ts";
import { type TrainResult, train } from "../../src/train/train.ts";
import { environment as branches } from "./branching-environment.ts";
import { device } from "./gpu.ts";
import { NotedView } from "./train-here.ts";
import { stepsOf, tinyConfig } from "./training-run.ts";

const runId = "0f".repeat(16);

/** A node that trains, and what is known of it. */
export interface TrainingNode {
  readonly cluster: Cluster;
  readonly view: NotedView;
  /** Of the state after each step, as this node has agreed to it. */
  readonly hashes: ReadonlyMap<number, string>;
  /** Who was in each step. */
  readonly members: ReadonlyMap<number, readonly string[]>;
  readonly done: Promise<TrainResult>;
}

/** How nodes are put together. */
export interface TogetherOptions {
  readonly sync?: Way;
  readonly wire?: WireType;
  /** Nodes that a step needs. */
  readonly minWorld?: number;
  /** Milliseconds that a collective may go without progress, and an answer that has begun. */
  readonly patience?: number;
}

/** Where a node listens, and where others are told that it does. */
export type Doors = Pick<ClusterSettings, "port" | "ringPort" | "advertise" | "advertiseRings">;

/** An environment in the place of that of the configuration. */
export type TogetherConfig = Omit<TrainConfigInput, "environment"> & {
  // biome-ignore lint/suspicious/noExplicitAny: with tasks of any type
  readonly environment?: Environment<any>;
};

/** Sixteen episodes a step of the environment with branches. Sections given replace keys of the same names only. */
export function globalBatch(given: TogetherConfig = {}): TogetherConfig {
  const { rollout, environment = branches, ...rest } = given;
  const { environment: _, ...config } = tinyConfig({
    ...{ eval: { every: 0 }, checkpoint: { every: 0 } },
    // how long an episode takes depends on what its node plays beside it
    ...{ reward: { truncated: "score", speed: 0 }, ...rest },
    rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16, ...rollout },
  });
  return { ...config, environment };
}

/** Nodes of one run. */
export class TrainingNodes {
  readonly #folder: string;
  readonly #config: TogetherConfig;
  readonly #options: TogetherOptions;
  readonly #token = Token.create();
  readonly #nodes: TrainingNode[] = [];

  /** @param folder where each node has a folder for its runs */
  constructor(folder: string, config: TogetherConfig, options: TogetherOptions = {}) {
    this.#folder = folder;
    this.#config = config;
    this.#options = options;
    onTestFinished(() => this.#close());
  }

  /** Adds a node, which trains from now on. `resume` as in `train`; `signal` ends it after its step; `sync` where it is not that of the others. */
  async add({
    resume,
    signal,
    sync = this.#options.sync ?? "zero1",
    doors = {},
  }: {
    readonly resume?: string;
    readonly signal?: AbortSignal;
    readonly sync?: Way;
    readonly doors?: Doors;
  } = {}): Promise<TrainingNode> {
    const { wire = "f32" } = this.#options;
    const [first] = this.#nodes;
    const nodeId = `n${this.#nodes.length}`;
    const door = new PoolDoor();
    const cluster = await openPatient(
      { nodeId, token: this.#token, routes: door.routes, ...doors },
      this.#options,
    );
    const directory = join(this.#folder, nodeId);
    const config = parseConfig({ ...this.#config, run: { directory, tensorboard: false } });
    const view = new NotedView();
    const [hashes, members] = [new Map<number, string>(), new Map<number, readonly string[]>()];
    const noted = view.step.bind(view);
    view.step = (step, metrics) => {
      noted(step, metrics);
      if (step === 0) return;
      hashes.set(step, cluster.record.hash);
      members.set(step, cluster.record.members);
    };
    const done = train({
      loaded: { config, file: "", directory, warnings: [] },
      ...{ device: await device(), view, version: "0.0.0" },
      ...(resume !== undefined && { resume }),
      ...(signal && { signal }),
      cluster: {
        ...{ cluster, door, sync, wire, onEvent: (text: string) => view.warn(text) },
        ...(first && { contact: first.cluster.address }),
      },
    });
    // whoever waits for it hears of it
    done.catch(() => {});
    const node = { cluster, view, hashes, members, done };
    this.#nodes.push(node);
    return node;
  }

  async #close(): Promise<void> {
    // those who wait for others that are gone
    for (const { cluster } of this.#nodes) cluster.orders.end();
    await Promise.allSettled(this.#nodes.map(({ done }) => done));
    await Promise.all(this.#nodes.map(({ cluster }) => cluster[Symbol.asyncDispose]()));
  }
}

/** The same run by `world` nodes, to its end. */
export async function trainTogether(
  folder: string,
  config: TogetherConfig,
  { world, ...options }: TogetherOptions & { readonly world: number },
): Promise<readonly (TrainingNode & { readonly result: TrainResult })[]> {
  const nodes = new TrainingNodes(folder, config, { minWorld: world, ...options });
  const all: TrainingNode[] = [];
  for (let i = 0; i < world; i++) all.push(await nodes.add());
  return Promise.all(all.map(async (node) => ({ ...node, result: await node.done })));
}

/** Bytes of the weights and moments of a run's last checkpoint. */
export function lastTensors({ directory }: TrainResult): Readonly<Record<string, Buffer>> {
  const checkpoint = join(directory, "checkpoints", stepsOf(directory).at(-1) as string);
  const names = ["policy.safetensors", "optimizer.safetensors"];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(checkpoint, name))]));
}

/** Waits for what happens in turns of the event loop, however long they take. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(5);
}

/** The nodes share one event loop with a GPU in software: none is dead because it is silent. */
function openPatient(
  who: Pick<ClusterSettings, "nodeId" | "token" | "routes"> & Doors,
  { minWorld = 1, patience }: TogetherOptions,
): Promise<Cluster> {
  const patient = patience ?? 120_000;
  return Cluster.open({
    ...{ ...who, runId, progressMs: patient, connectMs: patient },
    membership: { beat: 100, lostAfter: 60_000, minWorld },
    limits: {
      ...{ heartbeatMs: 1_000, heartbeatMisses: 60, stallMs: Math.min(60_000, patient) },
      ...{ handshakeMs: 30_000, firstMessageMs: 30_000 },
    },
  });
}
