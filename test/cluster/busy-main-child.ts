/**
 * Two nodes in threads of one process. The first has as many ring threads as it is told; when all of its buckets are ready, its
 * main thread does nothing but look whether the other one has its sum. Says whether it came meanwhile, and was right at both.
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Collectives } from "../../cluster/collectives.ts";
import { openRings } from "../../cluster/ring-plane/open-rings.ts";
import type { Rings } from "../../cluster/ring-plane/rings.ts";
import { RingVector } from "../../cluster/ring-vector.ts";
import { Token } from "../../cluster/transport/token.ts";

/** Five buckets. */
const LENGTH = 5 * 2 ** 17;
const MEMBERS = ["n0", "n1"];
/** How long it looks at most, in milliseconds. */
const PATIENCE = 100_000;

interface Given {
  readonly token: string;
  readonly threads: number;
  /** 1 when the other one has its sum, 2 when that is wrong. */
  readonly flag: Int32Array;
}

const given: Given = isMainThread
  ? {
      token: Token.create().reveal(),
      threads: Number(process.argv[2]),
      flag: new Int32Array(new SharedArrayBuffer(4)),
    }
  : workerData;

function openOwn(nodeId: string): Promise<Rings> {
  const token = Token.parse(given.token);
  return openRings({ runId: "0f".repeat(16), token, nodeId, threads: given.threads });
}

async function begin(own: Rings, rank: number, others: readonly string[]): Promise<Collectives> {
  const addressesOf = (node: string): readonly string[] =>
    node === MEMBERS[rank] ? own.urls : others;
  await own.begin({ epoch: 1, members: MEMBERS, addressesOf });
  return new Collectives({ rings: own, rank, world: 2, chunkBytes: 2 ** 16 });
}

function vectorOf(value: number): RingVector {
  const vector = new RingVector(LENGTH, "f32");
  vector.contribution.fill(value);
  return vector;
}

const isRight = ({ result }: RingVector): boolean => result.every((value) => value === 3);

async function first(): Promise<void> {
  const own = await openOwn("n0");
  const worker = new Worker(new URL(import.meta.url), { workerData: given });
  const [others] = await once(worker, "message");
  worker.postMessage(own.urls);
  const collectives = await begin(own, 0, others);
  const vector = vectorOf(1);
  const run = collectives.start(vector, "both");
  for (const bucket of run.buckets.keys()) run.ready(bucket);
  const end = performance.now() + PATIENCE;
  while (Atomics.load(given.flag, 0) === 0 && performance.now() < end);
  const meanwhile = Atomics.load(given.flag, 0);
  await run.done;
  process.stdout.write(JSON.stringify({ meanwhile, isRight: isRight(vector) }));
  worker.postMessage([]);
  await own[Symbol.asyncDispose]();
}

async function second(): Promise<void> {
  const own = await openOwn("n1");
  parentPort?.postMessage(own.urls);
  const [others] = await once(parentPort as NonNullable<typeof parentPort>, "message");
  const collectives = await begin(own, 1, others);
  const vector = vectorOf(2);
  await collectives.allReduce(vector);
  Atomics.store(given.flag, 0, isRight(vector) ? 1 : 2);
  await once(parentPort as NonNullable<typeof parentPort>, "message");
  await own[Symbol.asyncDispose]();
}

await (isMainThread ? first() : second());
