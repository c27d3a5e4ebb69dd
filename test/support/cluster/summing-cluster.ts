/** Summing nodes of one cluster, in processes of their own; see `summing.ts`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Committed, expectedHashes, type SummingConfig } from "./summing.ts";
import { SummingProcess } from "./summing-process.ts";

/** What sets a node apart from the others. */
export type NodeGiven = Pick<SummingConfig, "host" | "advertise" | "advertiseRing" | "hostMs"> & {
  /** A command that runs commands; see `Network.under`. */
  readonly under?: readonly string[];
};

/** Turns of five milliseconds that something may take: who is left out twice is back after a minute. */
const PATIENCE = 24_000;

/** See the file's head. They end with it. */
export class SummingCluster implements Disposable {
  readonly nodes: SummingProcess[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "summing-"));
  readonly #hasThreads: boolean;

  constructor({ hasThreads = true }: Partial<Pick<SummingConfig, "hasThreads">> = {}) {
    this.#hasThreads = hasThreads;
  }

  /** Starts a node, the first of which founds the cluster; it listens when this is fulfilled. */
  async add({ under = [], ...given }: NodeGiven = {}): Promise<SummingProcess> {
    const [first] = this.nodes;
    const node = new SummingProcess(
      {
        ...{ id: `n${this.nodes.length}`, runId: "0f".repeat(16), token: "5a".repeat(32) },
        ...{ folder: this.#folder, hasThreads: this.#hasThreads, ...given },
        ...(first && { contact: first.address }),
      },
      under,
    );
    this.nodes.push(node);
    await this.until(`${node.id} listens`, () => node.url !== undefined);
    return node;
  }

  /** Starts so many nodes, or these, beside those that there are; all are in when this is fulfilled. */
  async start(given: number | readonly NodeGiven[]): Promise<readonly SummingProcess[]> {
    const all = typeof given === "number" ? Array.from({ length: given }, () => ({})) : given;
    for (const each of all) await this.add(each);
    const { nodes } = this;
    await this.until("all are in", () => nodes.every((node) => node.commitOf(nodes.length, 0)));
    return nodes;
  }

  /** Waits for what processes do. Errors: what they have said last, when it takes too long. */
  async until(what: string, holds: () => boolean): Promise<void> {
    for (let turns = 0; !holds(); turns++) {
      if (turns > PATIENCE) throw new Error(`${what}\n${this.#told()}`);
      await sleep(5);
    }
  }

  /** Every step has one hash, and it is that of who was there: nothing else has come into it. */
  expectSums(): void {
    const steps: Committed[] = [];
    for (const commit of this.nodes.flatMap(({ commits }) => commits)) {
      const known = steps[commit.step - 1];
      if (known) expect({ ...commit, at: 0 }).toEqual({ ...known, at: 0 });
      steps[commit.step - 1] = commit;
    }
    expect(steps.map(({ hash }) => hash)).toEqual(
      expectedHashes(steps.map(({ members }) => members)),
    );
  }

  [Symbol.dispose](): void {
    for (const { process } of this.nodes) process.kill("SIGKILL");
    this.nodes.length = 0;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #told(): string {
    return this.nodes
      .map(({ id, events, stderr }) => `${id}: ${JSON.stringify(events.slice(-3))} ${stderr}`)
      .join("\n");
  }
}

/** Milliseconds from a moment to the first step that these nodes have committed in a world. */
export function msToNextStep(
  nodes: readonly SummingProcess[],
  world: number,
  from: number,
): number {
  return Math.min(...nodes.map((node) => node.commitOf(world, from)?.at ?? Infinity)) - from;
}
