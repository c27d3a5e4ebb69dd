/**
 * A node in a process of its own that trains a state which is a sum; see `support/cluster/summing.ts`. It says on its standard
 * output how far it is, and ends with its standard input. A newcomer's state comes from a folder that all share.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openNode } from "../../cluster/control-plane/open-node.ts";
import type { Running } from "../../cluster/control-plane/running.ts";
import { ClusterError } from "../../cluster/error.ts";
import type { ClusterHost, Fetch, Move } from "../../cluster/membership/host.ts";
import { allocateMemory } from "../../cluster/ring/wasm.ts";
import { BLOCK } from "../../cluster/ring/wire-type.ts";
import { openRings } from "../../cluster/ring-plane/open-rings.ts";
import type { Rings } from "../../cluster/ring-plane/rings.ts";
import { Token } from "../../cluster/transport/token.ts";
import {
  BUSY,
  contributionOf,
  ELEMENTS,
  HALT,
  hashOf,
  type SummingConfig,
  type SummingEvent,
  stepped,
} from "../support/cluster/summing.ts";

/** Milliseconds that a contribution takes. */
const COMPUTE = 20;
const HALF = BLOCK * 10;

function say(event: SummingEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

class SummingNode implements ClusterHost {
  isHalting = false;
  readonly #config: SummingConfig;
  readonly #memory = allocateMemory(8 * ELEMENTS, true);
  readonly #contribution = new Float32Array(this.#memory.buffer, 0, ELEMENTS);
  readonly #result = new Float32Array(this.#memory.buffer, 4 * ELEMENTS, ELEMENTS);
  #rings: Rings | undefined;
  #running: Running | undefined;
  #state = new Float32Array(ELEMENTS);
  /** What a move has come to. */
  #next = this.#state;
  /** Moves of the epoch so far. */
  #moves = { epoch: 0, count: 0 };
  /** Rises with whatever makes what was under way pointless. */
  #turn = 0;

  constructor(config: SummingConfig) {
    this.#config = config;
  }

  async begin(): Promise<void> {
    const { id, runId, contact, host, advertise, hasThreads, hostMs } = this.#config;
    const options = {
      ...{ nodeId: id, runId, token: Token.parse(this.#config.token) },
      ...(host !== undefined && { host }),
    };
    this.#rings = await openRings({ ...options, threads: hasThreads ? 1 : 0 });
    const [ring = ""] = this.#rings.urls;
    const { advertiseRing = ring } = this.#config;
    const settings = {
      ...options,
      controlThread: hasThreads,
      ...(hostMs !== undefined && { hostMs }),
      onGone: (error: Error) => {
        throw error;
      },
      advertiseRings: [advertiseRing],
      ...(advertise !== undefined && { advertise }),
    };
    this.#running = await openNode(settings, this);
    say({ type: "listening", url: this.#running.url, ring });
    if (contact !== undefined) await this.#running.join(contact);
    else {
      await this.#publish();
      await this.#running.found(0, hashOf(this.#state));
      void this.#contribute(0);
    }
  }

  lead(): void {}

  move(move: Move): void {
    const turn = ++this.#turn;
    const { epoch, step } = move;
    say({ type: "moving", step, epoch });
    this.#moved(move).then(
      (hash) => {
        if (turn === this.#turn) this.#running?.ended({ epoch, step, hash, suspect: null });
      },
      (error: unknown) => {
        if (turn !== this.#turn) return;
        if (!(error instanceof ClusterError)) throw error;
        const { code, suspect = null } = error;
        say({ type: "failed", step, code, suspect });
        this.#running?.ended({ epoch, step, hash: null, suspect });
      },
    );
  }

  abort(): void {
    this.#turn++;
    this.#rings?.abort();
  }

  commit(_: number, step: number): void {
    const hash = hashOf(this.#next);
    this.#state = this.#next;
    const members = this.#running?.record.members ?? [];
    say({ type: "committed", step, hash, members, at: Date.now() });
    void this.#contribute(step);
  }

  fetch({ step, hash }: Fetch): void {
    const turn = ++this.#turn;
    const read = async (): Promise<void> => {
      while (turn === this.#turn) {
        const bytes = await readFile(join(this.#config.folder, hash)).catch(() => undefined);
        if (bytes && turn === this.#turn) {
          this.#state = new Float32Array(Uint8Array.from(bytes).buffer);
          if (hashOf(this.#state) !== hash) throw new Error("the state is another");
          return this.#contribute(step);
        }
        await sleep(10);
      }
    };
    void read();
  }

  end(): void {
    process.exit(0);
  }

  async #moved({ epoch, step, members }: Move): Promise<string> {
    const rings = this.#rings as Rings;
    const addressesOf = (node: string): readonly string[] | undefined =>
      this.#running?.addresses.get(node)?.rings;
    await rings.begin({ epoch, members, addressesOf });
    const isNew = this.#moves.epoch !== epoch;
    this.#moves = { epoch, count: isNew ? 0 : this.#moves.count + 1 };
    const shape = {
      ...{ rank: members.indexOf(this.#config.id), world: members.length, total: ELEMENTS },
      ...{ wire: "f32" as const, chunkBytes: 4 * BLOCK },
      buckets: [
        { from: HALF, to: ELEMENTS },
        { from: 0, to: HALF },
      ],
    };
    const places = { contribution: 0, result: 4 * ELEMENTS };
    const run = rings.start(
      { shape, phases: "both", memory: this.#memory, places },
      { op: this.#moves.count, attempt: 0 },
    );
    run.bucketReady(0);
    if (this.isHalting) {
      say({ type: "halfway", step });
      await new Promise(() => {});
    }
    run.bucketReady(1);
    await run.done;
    this.#next = stepped(this.#state, this.#result);
    return hashOf(this.#next);
  }

  /** Has the contribution to the step after this one, and lets others have the state. */
  async #contribute(step: number): Promise<void> {
    const state = this.#state;
    await this.#publish();
    await sleep(COMPUTE);
    if (state !== this.#state) return;
    this.#contribution.set(contributionOf(this.#config.id, step + 1));
    this.#running?.ready(step, hashOf(state), "sum");
  }

  async #publish(): Promise<void> {
    const { folder, id } = this.#config;
    const path = join(folder, `${id}.part`);
    await writeFile(path, this.#state);
    await rename(path, join(folder, hashOf(this.#state)));
  }
}

function beBusy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

let node: SummingNode | undefined;
const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  if (line === HALT && node) node.isHalting = true;
  else if (line.startsWith(BUSY)) beBusy(Number(line.slice(BUSY.length)));
  else {
    node = new SummingNode(JSON.parse(line));
    void node.begin();
  }
});
input.once("close", () => process.exit(0));
