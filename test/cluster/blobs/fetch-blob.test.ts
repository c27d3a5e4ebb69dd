import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BlobStore, blobRoute } from "../../../cluster/blobs/blob-store.ts";
import {
  type BlobSource,
  type FetchBlobOptions,
  fetchBlob,
} from "../../../cluster/blobs/fetch-blob.ts";
import { ClusterError } from "../../../cluster/error.ts";
import { type Listener, listen } from "../../../cluster/transport/listener.ts";
import { NodeClient } from "../../../cluster/transport/node-client.ts";
import type { RouteAnswer, RouteRequest } from "../../../cluster/transport/route.ts";
import { Token } from "../../../cluster/transport/token.ts";
import { RUN_ID } from "../transport/hostile.ts";

const MIB = 2 ** 20;
const BYTES = randomBytes(3 * MIB + 5);
const RANGE = MIB / 4;

const token = Token.create();
const store = new BlobStore();
const ref = store.put(BYTES);
const blobs = blobRoute(store);

/** What a source does with each request, in place of answering it well. */
type Trick = (
  good: () => Promise<RouteAnswer>,
  request: RouteRequest,
  call: number,
) => Promise<RouteAnswer>;

/** A node with the blob, and how much was asked of it. */
interface Source extends BlobSource {
  readonly listener: Listener;
  readonly ranges: string[];
}

let sources: Source[] = [];
let client: NodeClient;

beforeEach(() => {
  client = new NodeClient({
    runId: RUN_ID,
    nodeId: "newcomer",
    token,
    limits: { stallMs: 20_000 },
  });
});

afterEach(async () => {
  client[Symbol.dispose]();
  await Promise.all(sources.map(({ listener }) => listener.close()));
  sources = [];
});

async function source(node: string, trick: Trick = (good) => good()): Promise<Source> {
  const ranges: string[] = [];
  const answer = (request: RouteRequest): Promise<RouteAnswer> => {
    ranges.push(request.range ?? "");
    return trick(() => blobs.answer(request), request, ranges.length);
  };
  const routes = [{ ...blobs, answer }];
  const listener = await listen({ runId: RUN_ID, nodeId: node, token, routes, onFault: () => {} });
  const made = { node, address: listener.url, listener, ranges };
  sources.push(made);
  return made;
}

/** One byte that is not as it was. */
const lie: Trick = async (good) => {
  const { body, ...rest } = await good();
  const bytes = Uint8Array.from(body as Uint8Array);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  return { ...rest, body: bytes };
};

async function fetched(
  given: FetchBlobOptions = {},
  from: BlobSource[] = sources,
): Promise<string> {
  const got = await fetchBlob(client, ref, from, { rangeBytes: RANGE, ...given });
  return Buffer.compare(got, BYTES) === 0 ? "right" : "wrong";
}

async function failure(
  given: FetchBlobOptions = {},
  from: BlobSource[] = sources,
): Promise<ClusterError> {
  const error: unknown = await fetched(given, from).catch((error: unknown) => error);
  if (error instanceof ClusterError) return error;
  throw new Error(`no failure: ${error}`);
}

test("a blob comes from several nodes at once, each with one range at a time", async () => {
  let atOnce = 0;
  for (const node of ["a", "b", "c"]) {
    let here = 0;
    await source(node, async (good) => {
      atOnce = Math.max(atOnce, sources.filter(({ ranges }) => ranges.length > 0).length);
      expect(++here).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      here--;
      return good();
    });
  }
  const progress: number[] = [];
  const into = new Uint8Array(BYTES.length);
  const onProgress = (done: number, total: number): void => {
    expect(total).toBe(BYTES.length);
    progress.push(done);
  };
  expect(await fetched({ onProgress, into })).toBe("right");
  expect(Buffer.compare(into, BYTES)).toBe(0);
  expect(atOnce).toBe(3);
  for (const { ranges } of sources) expect(ranges.length).toBeGreaterThan(1);
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  expect(progress.at(-1)).toBe(BYTES.length);
});

test("the faster send more", async () => {
  const fast = await source("fast");
  const slow = await source("slow", async (good) => {
    while (fast.ranges.length < 14) await new Promise((resolve) => setTimeout(resolve, 1));
    return good();
  });
  expect(await fetched()).toBe("right");
  expect(slow.ranges.length).toBeLessThan(14);
});

test("one source is enough, and one that dies in the middle is done without", async () => {
  const dying = await source("dying", async (good, _request, call) => {
    if (call === 3) void dying.listener.close();
    return good();
  });
  expect((await failure()).code).toBe("peer_unreachable");
  const gone = await failure();
  expect(gone).toMatchObject({ code: "peer_unreachable", suspect: undefined });
  expect(gone.message).toContain("dying: peer_unreachable");
  await source("other");
  expect(await fetched()).toBe("right");
  const again = await source("again", async (good, _request, call) => {
    if (call === 2) await again.listener.close();
    return good();
  });
  expect(await fetched()).toBe("right");
  expect(again.ranges.length).toBeGreaterThan(0);
});

test("a source that stalls is done without", async () => {
  client[Symbol.dispose]();
  client = new NodeClient({ runId: RUN_ID, nodeId: "newcomer", token, limits: { stallMs: 300 } });
  const stalling = await source("stalling", (good, { signal }, call) => {
    if (call < 2) return good();
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(good())));
  });
  await source("good", async (good) => {
    while (stalling.ranges.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    return good();
  });
  expect(await fetched()).toBe("right");
  expect(stalling.ranges.length).toBe(2);
});

test("a source that has it not, or refuses, or is not who it says, is done without", async () => {
  const none = await source("none", async () => ({ status: 404 }));
  const failing = await source("failing", () => Promise.reject(new Error("no")));
  const good = await source("good");
  const foreign = await listen({
    runId: RUN_ID,
    nodeId: "foreign",
    token: Token.create(),
    routes: [blobs],
  });
  const all = [
    ...[none, failing, { node: "else", address: good.address }, good],
    ...[
      { node: "foreign", address: foreign.url },
      { node: "odd", address: "http://127.0.0.1" },
    ],
  ];
  expect(await fetched({}, all)).toBe("right");
  expect([none.ranges.length, failing.ranges.length]).toEqual([1, 1]);
  const error = await failure(
    {},
    all.filter((each) => each !== good),
  );
  expect(error.code).toBe("peer_unreachable");
  expect(error.message).toContain(
    "none: status 404, failing: status 500, else: peer_invalid, foreign: peer_unauthorized, odd: argument_invalid",
  );
  await foreign.close();
});

test("a source that says it is of another size is done without", async () => {
  const other = await source("other", async (good) => {
    const { headers, ...rest } = await good();
    const range = headers?.["Content-Range"]?.replace(/\d+$/, "99999999") ?? "";
    return { ...rest, headers: { ...headers, "Content-Range": range } };
  });
  const short = await source("short", async (good) => {
    const { body, ...rest } = await good();
    return { ...rest, body: (body as Uint8Array).subarray(1) };
  });
  const long = await source("long", async (good) => {
    const { body, ...rest } = await good();
    return { ...rest, body: Buffer.concat([body as Uint8Array, Uint8Array.of(0)]) };
  });
  const whole = await source("whole", async () => ({ status: 200, body: BYTES.subarray(0, 9) }));
  const error = await failure();
  expect(error.message).toContain(
    "other: another size, short: another size, long: protocol_violated, whole: status 200",
  );
  await source("good");
  expect(await fetched()).toBe("right");
  for (const { ranges } of [other, short, long, whole]) expect(ranges.length).toBe(2);
});

test("who has lied is named, whoever else has sent something", async () => {
  const honest = ["a", "b"].map((node) => source(node));
  await Promise.all(honest);
  await source("liar", lie);
  await source("sometimes", (good, request, call) =>
    call === 2 ? lie(good, request, call) : good(),
  );
  const liars: string[] = [];
  expect(await fetched({ onLiar: (node) => void liars.push(node) })).toBe("right");
  expect(liars.toSorted()).toEqual(["liar", "sometimes"]);
});

test("liars that are asked first do not hide the truth, and one who lies alone is named", async () => {
  const first = await source("first", lie);
  const onLiar = (node: string): void => void liars.push(node);
  const liars: string[] = [];
  expect(await failure({ onLiar })).toMatchObject({ code: "peer_invalid", suspect: "first" });
  // nobody else could be asked, and it is not asked for all of it again
  expect(first.ranges.length).toBeLessThan(40);
  expect(liars.splice(0)).toEqual(["first"]);
  const dead = { node: "dead", address: "ws://127.0.0.1:1" };
  expect(await failure({}, [first, dead])).toMatchObject({
    code: "peer_invalid",
    suspect: "first",
  });
  await source("second", lie);
  const both = await failure({ onLiar });
  expect(both.message).toContain("first: other bytes, second: other bytes");
  expect(liars.splice(0).toSorted()).toEqual(["first", "second"]);
  await source("third");
  expect(await fetched({ onLiar })).toBe("right");
  expect(liars.toSorted()).toEqual(["first", "second"]);
});

test("a fetch that is given up ends", async () => {
  const given = new AbortController();
  await source("a", (good, { signal }) => {
    given.abort();
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(good())));
  });
  const error = await failure({ signal: given.signal });
  expect(error.code).toBe("peer_unreachable");
});

test("no bytes are fetched from nobody; what cannot be is told", async () => {
  const nothing = store.put(new Uint8Array());
  expect(await fetchBlob(client, nothing, [])).toHaveLength(0);
  expect((await failure({}, [])).message).toContain("no sources");
  const invalid = (given: object, options: FetchBlobOptions = {}): Promise<void> =>
    expect(fetchBlob(client, { ...ref, ...given }, [], options)).rejects.toMatchObject({
      code: "argument_invalid",
    });
  await invalid({ hash: "0" });
  await invalid({ hash: ref.hash.toUpperCase() });
  await invalid({ size: -1 });
  await invalid({ size: 1.5 });
  await invalid({ size: 0 });
  await invalid({}, { into: new Uint8Array(1) });
  await invalid({}, { rangeBytes: 0 });
});

test("a rollout node fetches what is for all, and nothing else", async () => {
  await source("a");
  const secret = store.put(randomBytes(10), { readers: "trainers" });
  const rollout = {
    runId: RUN_ID,
    nodeId: "player",
    role: "rollout",
    token: token.forRollouts,
  } as const;
  using player = new NodeClient(rollout);
  expect(Buffer.compare(await fetchBlob(player, ref, sources), BYTES)).toBe(0);
  const refused = fetchBlob(player, secret, sources);
  await expect(refused).rejects.toThrowError(/a: status 403/);
  expect(await fetchBlob(client, secret, sources)).toHaveLength(10);
});
