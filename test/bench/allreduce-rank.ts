/** One of two processes that sum a vector, over the ring and, for comparison, send as many bytes over bare TCP. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { RingPlan } from "../../cluster/ring/plan.ts";
import { allocateMemory } from "../../cluster/ring/wasm.ts";
import type { WireType } from "../../cluster/ring/wire-type.ts";
import { Workspace } from "../../cluster/ring/workspace.ts";
import { RingPlane } from "../../cluster/ring-plane/ring-plane.ts";
import { Token } from "../../cluster/transport/token.ts";

const MIB = 2 ** 20;
const BUCKET = 2 * MIB;
export const BYTES = 64 * MIB;
const ELEMENTS = BYTES / 4;
const MEMBERS = ["n0", "n1"];

/** What is measured. */
export type Way = WireType | "tcp";

export class AllreduceRank {
  readonly #rank: number;
  readonly #ring: RingPlane;
  readonly #memory = allocateMemory(12 * ELEMENTS, true);
  readonly #payload = Buffer.alloc(MIB, 1);
  #socket: Socket | undefined;
  #op = 0;

  private constructor(rank: number, ring: RingPlane) {
    this.#rank = rank;
    this.#ring = ring;
    new Float32Array(this.#memory.buffer, 0, ELEMENTS).forEach((_, i, own) => {
      own[i] = (1 + rank) * (i % 64);
    });
  }

  static async open(rank: number): Promise<AllreduceRank> {
    const options = { runId: "0f".repeat(16), token: Token.parse("5a".repeat(32)) };
    const ring = await RingPlane.open({ ...options, nodeId: MEMBERS[rank] as string });
    return new AllreduceRank(rank, ring);
  }

  get url(): string {
    return this.#ring.listener.url;
  }

  async begin(other: string): Promise<void> {
    await this.#ring.begin({ epoch: 1, members: MEMBERS, addressOf: () => other });
  }

  /** A port at which the other's TCP socket is awaited. */
  async listen(): Promise<number> {
    const server = createServer((socket) => this.use(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  use(socket: Socket): void {
    this.#socket = socket.setNoDelay();
  }

  /** Sends and receives as many bytes as the vector has in f32, or as its wire type makes of it. */
  async run(way: Way): Promise<void> {
    if (way === "tcp") await this.#exchange();
    else await this.#sum(way);
  }

  /** Throws unless the sum is that of both. */
  check(): void {
    const sum = new Float32Array(this.#memory.buffer, 4 * ELEMENTS, ELEMENTS);
    const wrong = sum.findIndex((value, i) => value !== 3 * (i % 64));
    if (wrong >= 0) throw new Error(`element ${wrong} is ${sum[wrong]}`);
    sum.fill(0);
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    await this.#ring[Symbol.asyncDispose]();
  }

  #sum(wire: WireType): Promise<void> {
    const buckets = Array.from({ length: ELEMENTS / BUCKET }, (_, i) => ({
      ...{ from: i * BUCKET, to: (i + 1) * BUCKET },
    }));
    const plan = new RingPlan({
      ...{ rank: this.#rank, world: 2, total: ELEMENTS, buckets, wire, chunkBytes: MIB },
    });
    const places = { contribution: 0, result: 4 * ELEMENTS, packed: 8 * ELEMENTS };
    const space = new Workspace(plan, "both", this.#memory, places);
    return this.#ring.run(space, { op: this.#op++, attempt: 0 });
  }

  async #exchange(): Promise<void> {
    const socket = this.#socket as Socket;
    let awaited = BYTES;
    const received = new Promise<void>((resolve) => {
      const onData = (data: Buffer): void => {
        awaited -= data.length;
        if (awaited > 0) return;
        socket.off("data", onData);
        resolve();
      };
      socket.on("data", onData);
    });
    for (let sent = 0; sent < BYTES; sent += MIB) {
      if (!socket.write(this.#payload)) await once(socket, "drain");
    }
    await received;
  }
}
