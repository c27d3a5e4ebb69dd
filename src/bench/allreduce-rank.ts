/** One process of the all-reduce benchmark. */
import {
  allocateMemory,
  bytesOf,
  type ElementRange,
  openRings,
  type RingSpace,
  type Rings,
  Token,
  type WireType,
} from "../../cluster/index.ts";
import { checkSum, fillContribution, type SumCheck } from "./allreduce-sum.ts";
import { TcpLink } from "./tcp-link.ts";

/**
 * What is measured: the ring; bare TCP, where each rank sends as many bytes to its successor, and all do it at once as they do
 * in the ring; and such a stream alone, from rank 0 to rank 1.
 */
export const WAYS = ["ring", "tcp", "tcp alone"] as const;
export type Way = (typeof WAYS)[number];

/** What a rank is made with. */
export interface RankSettings {
  readonly rank: number;
  readonly world: number;
  /** Bytes of the vector in f32. */
  readonly bytes: number;
  readonly wire: WireType;
  readonly chunkBytes: number;
  /** Of the vector that become ready at once, at most: whole blocks of 256 numbers. */
  readonly bucketBytes: number;
  /** Threads that rings go round in; 0 for the main one. */
  readonly threads: number;
  /** Where it listens. Default: on the loopback interface. */
  readonly host?: string;
  /** Of the run, as text. */
  readonly token: string;
}

/** Where a rank's rings are dialled, and where bare TCP is. */
export interface Doors {
  readonly urls: readonly string[];
  readonly host: string;
  readonly port: number;
}

/** What a rank took to do its part. */
export interface Turn {
  readonly seconds: number;
  /** Of all threads. */
  readonly cpuSeconds: number;
}

/** Milliseconds without a chunk: whoever waits for a busy machine goes on waiting. */
const PROGRESS_MS = 60_000;

const LOOPBACK = "127.0.0.1";

const RUN_ID = "0f".repeat(16);

/** See the file's head. */
export class AllreduceRank implements AsyncDisposable {
  readonly #settings: RankSettings;
  readonly #rings: Rings;
  readonly #tcp: TcpLink;
  readonly #space: RingSpace;
  #op = 0;

  private constructor(settings: RankSettings, rings: Rings, tcp: TcpLink) {
    const { rank, world, bytes, wire, chunkBytes, bucketBytes } = settings;
    const total = bytes / 4;
    this.#settings = settings;
    this.#rings = rings;
    this.#tcp = tcp;
    const memory = allocateMemory(4 * bytes + bytesOf(total, wire), true);
    fillContribution(new Float32Array(memory.buffer, 0, total), rank);
    const shape = {
      rank,
      world,
      total,
      buckets: bucketsOf(total, bucketBytes / 4),
      wire,
      chunkBytes,
    };
    const places = {
      ...{ contribution: 0, result: bytes, residual: 2 * bytes, nextResidual: 3 * bytes },
      packed: 4 * bytes,
    };
    this.#space = { shape, phases: "both", memory, places };
  }

  static async open(settings: RankSettings): Promise<AllreduceRank> {
    const { rank, token, chunkBytes, threads, host = LOOPBACK } = settings;
    const options = {
      host,
      progressMs: PROGRESS_MS,
      ...{ runId: RUN_ID, token: Token.parse(token), nodeId: nodeOf(rank) },
      limits: { chunkBytes, bufferedBytes: 16 * Math.max(2 ** 20, chunkBytes) },
    };
    const rings = await openRings({ ...options, threads });
    return new AllreduceRank(settings, rings, await TcpLink.open(host));
  }

  get doors(): Doors {
    return { urls: this.#rings.urls, host: this.#settings.host ?? LOOPBACK, port: this.#tcp.port };
  }

  /** Dials the predecessor in both ways. */
  async begin(doors: readonly Doors[]): Promise<void> {
    const { rank, world } = this.#settings;
    const { host, port } = doors[(rank + world - 1) % world] as Doors;
    await this.#tcp.dial(host, port);
    const members = doors.map((_, other) => nodeOf(other));
    const addressesOf = (node: string): readonly string[] =>
      doors[members.indexOf(node)]?.urls ?? [];
    await this.#rings.begin({ epoch: 1, members, addressesOf });
  }

  /** Does its part; all ranks are asked at once. */
  async run(way: Way): Promise<Turn> {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await this.#move(way);
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return { seconds, cpuSeconds: (user + system) / 1e6 };
  }

  /** Looks at the last sum, and forgets it. */
  check(): SumCheck {
    const { bytes, world, wire } = this.#settings;
    const result = new Float32Array(this.#space.memory.buffer, bytes, bytes / 4);
    const found = checkSum(result, world, wire);
    result.fill(Number.NaN);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tcp[Symbol.dispose]();
    await this.#rings[Symbol.asyncDispose]();
  }

  async #sum(): Promise<void> {
    const run = this.#rings.start(this.#space, { op: this.#op++, attempt: 0 });
    for (const bucket of this.#space.shape.buckets.keys()) run.bucketReady(bucket);
    await run.done;
  }

  async #move(way: Way): Promise<void> {
    const { rank } = this.#settings;
    const sent = sentBytes(this.#settings);
    if (way === "ring") await this.#sum();
    else if (way === "tcp") await Promise.all([this.#tcp.send(sent), this.#tcp.receive(sent)]);
    else if (rank === 0) await this.#tcp.send(sent);
    else if (rank === 1) await this.#tcp.receive(sent);
  }
}

/** Bytes that a rank sends in the ring, but for what goes before each chunk: 2 (N − 1) / N of the vector's on the wire. */
export function sentBytes({
  world,
  bytes,
  wire,
}: Pick<RankSettings, "world" | "bytes" | "wire">): number {
  return Math.round((2 * (world - 1) * bytesOf(bytes / 4, wire)) / world);
}

function nodeOf(rank: number): string {
  return `rank-${rank}`;
}

function bucketsOf(total: number, size: number): ElementRange[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => ({
    ...{ from: i * size, to: Math.min(total, (i + 1) * size) },
  }));
}
