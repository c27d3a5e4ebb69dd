/** Nodes with real sockets in one process. Their work is a counter; what moves it is everything but the ring. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { RunningNode } from "../../cluster/control-plane/running-node.ts";
import type { ClusterHost, Fetch, Move } from "../../cluster/membership/host.ts";
import { Token } from "../../cluster/transport/token.ts";

const token = Token.create();
const runId = "0f".repeat(16);
const nodes: CountingNode[] = [];
/** Milliseconds that a contribution takes, and a move. */
const STEP = 5;

/** The state after a step is the step; a newcomer asks nobody for it. */
class CountingNode implements ClusterHost {
  readonly id: string;
  step = 0;
  hasEnded = false;
  #running: RunningNode | undefined;

  constructor(id: string) {
    this.id = id;
  }

  static async open(id: string, contact?: CountingNode): Promise<CountingNode> {
    const node = new CountingNode(id);
    nodes.push(node);
    node.#running = await RunningNode.open(
      {
        ...{ runId, nodeId: id, token, membership: { beat: 50, lostAfter: 400 } },
        limits: { heartbeatMs: 100 },
      },
      node,
    );
    if (contact) await node.running.join(contact.running.url);
    else {
      await node.running.found(0, "0");
      node.running.ready(0, "0", "count");
    }
    return node;
  }

  get running(): RunningNode {
    return this.#running as RunningNode;
  }

  lead(): void {}

  move({ epoch, step }: Move): void {
    setTimeout(() => this.running.ended({ epoch, step, hash: String(step), suspect: null }), STEP);
  }

  abort(): void {}

  commit(_: number, step: number): void {
    this.step = step;
    setTimeout(() => this.running.ready(step, String(step), "count"), STEP);
  }

  fetch({ step, hash }: Fetch): void {
    this.step = step;
    setTimeout(() => this.running.ready(step, hash, "count"), 2);
  }

  end(): void {
    this.hasEnded = true;
  }
}

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.running[Symbol.asyncDispose]()));
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}

const membersOf = (node: CountingNode): readonly string[] => node.running.record.members;

it("three nodes count together; one goes, its leader too, and the others count on", async () => {
  const a = await CountingNode.open("a");
  const b = await CountingNode.open("b", a);
  const c = await CountingNode.open("c", b);
  await until(() => membersOf(a).length === 3 && a.step > 5);
  expect(membersOf(c)).toEqual(["a", "b", "c"]);
  expect(Math.abs(a.step - c.step)).toBeLessThanOrEqual(1);
  expect(a.running.isLeading).toBe(true);
  await a.running[Symbol.asyncDispose]();
  await until(() => membersOf(b).length === 2 && membersOf(c).length === 2);
  const { step } = b;
  await until(() => b.step > step + 5 && c.step > step + 5);
  expect(membersOf(c)).toEqual(["b", "c"]);
  c.running.leave();
  await until(() => c.hasEnded && membersOf(b).length === 1);
});

it("a node without the run's token is not let in", async () => {
  const a = await CountingNode.open("a");
  const stranger = await RunningNode.open(
    { runId, nodeId: "x", token: Token.create() },
    new CountingNode("x"),
  );
  await expect(stranger.join(a.running.url)).rejects.toMatchObject({
    code: "peer_unauthorized",
  });
  await stranger[Symbol.asyncDispose]();
});
