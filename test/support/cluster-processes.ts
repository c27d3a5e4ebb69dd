/** Processes of a cluster: how they are held back until all are there, looked at, and found again. */
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach } from "vitest";
import {
  askStatus,
  type ClusterStatus,
  NodeClient,
  type TlsFiles,
  Token,
} from "../../cluster/index.ts";
import { listenTo, type Started } from "./command.ts";
import { supportFile } from "./training-run.ts";

/** A process as `ps` has it. */
export interface SeenProcess {
  readonly pid: number;
  readonly args: readonly string[];
}

/** The children of a process. */
export function childrenOf(parent: number | undefined): SeenProcess[] {
  const { stdout } = spawnSync("ps", ["-A", "-ww", "-o", "pid=,ppid=,args="], { encoding: "utf8" });
  return stdout.split("\n").flatMap((line) => {
    const [pid, ppid, ...args] = line.trim().split(/\s+/);
    return Number(ppid) === parent ? [{ pid: Number(pid), args }] : [];
  });
}

/** What all processes of this machine were started with. */
export function allArguments(): string {
  return spawnSync("ps", ["-A", "-ww", "-o", "args="], { encoding: "utf8" }).stdout;
}

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** What follows a flag. */
export function argumentOf(flag: string, { args }: Pick<SeenProcess, "args">): string {
  return args[args.indexOf(flag) + 1] as string;
}

/** Where a node is, and what is needed to ask it. */
export interface Door {
  readonly address: string;
  readonly runId: string;
  readonly token: Token;
  /** What it is asked with, where it asks for certificates, and who these say that asks. Default: an onlooker. */
  readonly tls?: TlsFiles;
  readonly nodeId?: string;
}

/** The door of the node that a child was told to join. */
export async function doorOf(child: SeenProcess): Promise<Door> {
  return {
    address: argumentOf("--rdzv", child),
    runId: argumentOf("--run-id", child),
    token: await Token.read(argumentOf("--token-file", child)),
  };
}

/** The door of a node, and the id of its run, which it says when it opens. To be called as soon as it is started. */
export async function doorSaid(node: Started): Promise<Pick<Door, "address" | "runId">> {
  const said = listenTo(node);
  const address = await until(() => /listens at (wss?:\S+)/.exec(said())?.[1]);
  const [runId] = /[0-9a-f]{32}/.exec(said()) as unknown as [string];
  return { address, runId };
}

/** Waits until a cluster has so many members. */
export async function hasMembers({ address, ...who }: Door, count: number): Promise<ClusterStatus> {
  using client = new NodeClient({ nodeId: "onlooker", ...who, role: "trainer" });
  for (;;) {
    const status = await askStatus(client, address);
    if (status.members.length === count) return status;
    await sleep(50);
  }
}

/** Waits for what another process does. */
export async function until<T>(find: () => T | undefined): Promise<T> {
  for (;;) {
    const found = find();
    if (found !== undefined) return found;
    await sleep(20);
  }
}

/** A gate in a folder, closed when a test begins. */
export function useGate(folder: string): Gate {
  const gate = new Gate(folder);
  beforeEach(() => gate.close());
  return gate;
}

/** Holds back all episodes of an environment with branches, in whatever process, until it is opened. */
export class Gate {
  /** The environment's module. */
  readonly environment: string;
  readonly #path: string;

  constructor(folder: string) {
    this.environment = join(folder, "held-back.ts");
    this.#path = join(folder, "open");
    writeFileSync(
      this.environment,
      `import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { environment as branches } from ${JSON.stringify(supportFile("branching-environment.ts"))};
export const environment = {
  ...branches,
  play: async (context) => {
    while (!existsSync(${JSON.stringify(this.#path)})) await sleep(20);
    return branches.play(context);
  },
};`,
    );
  }

  open(): void {
    writeFileSync(this.#path, "");
  }

  close(): void {
    rmSync(this.#path, { force: true });
  }
}
