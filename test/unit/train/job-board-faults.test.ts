/** Players that die, lose answers, and hand in late and twice: every group is consumed once. */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Job, Verdict } from "../../../src/train/episode/dispatcher.ts";
import { CollectingWorld, LEASE, settled } from "../../support/collecting-world.ts";
import { playedGroup } from "../../support/played-group.ts";

const [GROUPS, STEP, PLAYERS] = [16, 2, 4];

/** A player as its node sees it. */
interface Node {
  readonly name: string;
  readonly holds: Map<number, Job>;
  abort: AbortController;
}

/** What happened in a random history. */
class History {
  readonly world = new CollectingWorld(
    { slots: 6, groupsPerStep: STEP, window: 4, groups: GROUPS },
    0.6 * LEASE,
  );
  readonly consumed: number[] = [];
  readonly taken: number[] = [];
  /** Hand-outs up to this one are void. */
  #void = 0;
  #newest = 0;
  #inStep = 0;
  readonly #nodes: Node[] = [];
  /** Results on their way. */
  readonly #mail: (readonly [name: string, job: Job])[] = [];

  constructor() {
    for (let n = 0; n < PLAYERS; n++)
      this.#nodes.push({ name: `p${n}`, holds: new Map(), abort: new AbortController() });
  }

  async act(choice: number): Promise<void> {
    const node = this.#nodes[choice % PLAYERS] as Node;
    const rest = Math.floor(choice / PLAYERS);
    const kind = rest % 16;
    const detail = Math.floor(rest / 16);
    if (kind < 4) this.#ask(node, detail % 4, kind === 3);
    else if (kind < 7) this.#finish(node, detail);
    else if (kind < 10) this.#deliver(detail);
    else if (kind === 10) this.#die(node);
    else if (kind < 13) await this.world.pass((LEASE / 5) * (1 + (detail % 3)));
    else if (kind < 15) this.#train();
    else if (detail % 8 === 0) await this.#restart();
    await settled();
    this.#check();
  }

  /** Whoever is left plays what is left. */
  async end(): Promise<void> {
    for (const node of this.#nodes) this.#die(node);
    const [last] = this.#nodes as [Node];
    for (let turn = 0; this.consumed.length + this.world.buried.length < GROUPS; turn++) {
      if (turn === 20 * GROUPS) expect.fail(`only ${this.consumed} and ${this.world.buried}`);
      this.#ask(last, 4, false);
      await this.world.pass(LEASE / 4);
      while (last.holds.size > 0) this.#finish(last, 0);
      while (this.#mail.length > 0) this.#deliver(0);
      this.#train();
      this.#check();
    }
    await this.world.pass(2 * LEASE);
    expect(this.world.board.stats.out).toBe(0);
  }

  #ask(node: Node, room: number, isLost: boolean): void {
    node.abort.abort();
    node.abort = new AbortController();
    const { signal } = node.abort;
    const holds = [...node.holds.values()].map(({ groupId, attempt }) => ({ groupId, attempt }));
    const asked = this.world.board.take(node.name, { room, holds }, isLost ? undefined : signal);
    const hear = asked.then(({ jobs, cancelled }) => {
      for (const { attempt } of jobs) this.#newest = Math.max(this.#newest, attempt);
      if (isLost || signal.aborted) return;
      for (const groupId of cancelled) node.holds.delete(groupId);
      for (const job of jobs) node.holds.set(job.groupId, job);
    });
    // called off, or asked again
    hear.catch(() => {});
  }

  #finish(node: Node, pick: number): void {
    const job = [...node.holds.values()][pick % Math.max(1, node.holds.size)];
    if (!job) return;
    node.holds.delete(job.groupId);
    this.#mail.push([node.name, job]);
  }

  #deliver(pick: number): void {
    const at = pick % Math.max(1, this.#mail.length);
    const letter = this.#mail[at];
    if (!letter) return;
    // some come twice, later
    if (pick % 3 !== 2) this.#mail.splice(at, 1);
    const [name, job] = letter;
    const verdict: Verdict = this.world.board.give(name, playedGroup(job));
    if (verdict === "unwanted") return;
    expect(job.attempt).toBeGreaterThan(this.#void);
    this.taken.push(job.groupId);
  }

  #die(node: Node): void {
    node.abort.abort();
    node.holds.clear();
  }

  #train(): void {
    const { scheduler, collector } = this.world;
    for (let ticket = scheduler.take(); ticket; ticket = scheduler.take()) {
      this.world.pool.take(ticket.id);
      this.consumed.push(ticket.id);
      if (++this.#inStep < STEP) continue;
      scheduler.stepped();
      this.#inStep = 0;
    }
    collector.admit();
  }

  /** As a deterministic run does after a checkpoint. */
  async #restart(): Promise<void> {
    await this.world.collector.restart(async () => {});
    this.#void = this.#newest;
  }

  #check(): void {
    const { board, pool } = this.world;
    for (const groups of [this.taken, this.consumed])
      expect(new Set(groups).size).toBe(groups.length);
    expect(board.stats.out).toBeLessThanOrEqual(pool.unfinished.length);
  }
}

it("consumes each group once, whatever becomes of players, answers and results", async () => {
  const seen = { lost: 0, buried: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(2 ** 16), { minLength: 50, maxLength: 250 }), async (list) => {
      const history = new History();
      history.world.collector.admit();
      for (const choice of list) await history.act(choice);
      await history.end();
      const { buried, board } = history.world;
      expect([...history.consumed, ...buried].sort((a, b) => a - b)).toEqual(
        Array.from({ length: GROUPS }, (_, id) => id),
      );
      for (const { lost } of board.stats.players) seen.lost += lost;
      seen.buried += buried.length;
    }),
    { numRuns: 300 },
  );
  expect(seen.lost).toBeGreaterThan(300);
  expect(seen.buried).toBeGreaterThan(100);
});
