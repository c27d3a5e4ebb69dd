/** Frames and requests that chance makes, and what they must be answered with. */
import { dialRing } from "../../../cluster/transport/dial-ring.ts";
import { FRAME } from "../../../cluster/transport/frame.ts";
import { HEADER } from "../../../cluster/transport/handshake.ts";
import { isNodeId } from "../../../cluster/transport/identity.ts";
import type { Route } from "../../../cluster/transport/route.ts";
import { Token } from "../../../cluster/transport/token.ts";
import {
  creditFrame,
  frame,
  headersFor,
  plainHeadersFor,
  RawClient,
  RUN_ID,
  requestOf,
  ringFrame,
  sealed,
} from "./hostile.ts";
import { openRingImpostor } from "./impostor.ts";
import { type House, headerOf, Innocent, openHouse, PATIENT } from "./members.ts";

/** Frames that are written at once to a connection. */
const BURST = 20;

/** Connections at a time. */
const ABREAST = 16;

/** A generator of numbers below a bound; the same ones for a seed (xorshift32). */
export type Chance = (below: number) => number;

export function chanceOf(seed: number): Chance {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** A frame, and the close code it is answered with; 0 for none, undefined for any. */
export interface Sample {
  readonly bytes: Uint8Array;
  readonly code: number | undefined;
}

export type Kind = (chance: Chance) => Sample;

export function bytesOf(length: number, chance: Chance): Uint8Array {
  return Uint8Array.from({ length }, () => chance(256));
}

function hello(chance: Chance): Buffer {
  return sealed(JSON.stringify({ say: "x".repeat(chance(300)) }));
}

const of = (code: number | undefined, bytes: Uint8Array): Sample => ({ bytes, code });

/** Wrong on the control plane, whatever its messages are. */
export const CONTROL: readonly Kind[] = [
  (chance) => of(1002, frame({ payload: hello(chance), isMasked: false })),
  (chance) => of(1002, frame({ payload: hello(chance), reserved: 1 + chance(7) })),
  (chance) => of(1002, frame({ opcode: 3 + chance(5) })),
  (chance) => of(1002, frame({ opcode: 11 + chance(5) })),
  (chance) => of(1002, frame({ opcode: 0, payload: hello(chance) })),
  (chance) => of(1002, frame({ opcode: 8 + chance(3), isLast: false })),
  (chance) => of(1002, frame({ opcode: 8 + chance(3), length: BigInt(126 + chance(2_000)) })),
  (chance) => of(1002, frame({ opcode: 8, payload: Uint8Array.of(0, chance(256)) })),
  (chance) => of(1009, frame({ opcode: 1 + chance(2), length: 2n ** BigInt(21 + chance(43)) })),
  (chance) => of(1003, frame({ opcode: 2, payload: bytesOf(chance(100), chance) })),
  (chance) => of(1007, frame({ payload: Buffer.concat([hello(chance), Uint8Array.of(0xff)]) })),
  (chance) => of(4000, frame({ payload: hello(chance).subarray(1) })),
  (chance) => of(4000, frame({ payload: sealed(`{"say":${chance(100)}}`) })),
  (chance) => of(4000, frame({ payload: sealed(`{"say":"","${chance(100)}":0}`) })),
  (chance) => of(undefined, bytesOf(1 + chance(200), chance)),
  flipped,
];

/** After a window. */
const RING: readonly Kind[] = [
  (chance) => of(1002, ringFrame(4 + chance(2 ** 30), bytesOf(chance(100), chance))),
  (chance) => of(1002, ringFrame(FRAME.chunk, bytesOf(chance(200), chance))),
  (chance) => of(1002, ringFrame(FRAME.close, bytesOf(chance(2), chance))),
  (chance) => of(1002, ringFrame(FRAME.close, bytesOf(0, chance), 126 + chance(2 ** 30))),
  (chance) => of(1009, ringFrame(FRAME.credit, bytesOf(5 + chance(200), chance))),
  (chance) => of(1009, ringFrame(FRAME.credit, bytesOf(0, chance), 5 + chance(2 ** 31))),
  (chance) => of(4000, ringFrame(FRAME.credit, bytesOf(chance(4), chance))),
  (chance) => of(4000, creditFrame(chance(2 ** 32))),
  (chance) => of(undefined, frame({ payload: hello(chance) })),
  (chance) => of(undefined, bytesOf(1 + chance(200), chance)),
];

const RIGHT_CONTROL: readonly Kind[] = [
  (chance) => of(0, frame({ opcode: 9, payload: bytesOf(chance(126), chance) })),
  (chance) => of(0, frame({ opcode: 10, payload: bytesOf(chance(126), chance) })),
  (chance) => of(0, frame({ payload: hello(chance) })),
  (chance) => {
    const text = hello(chance);
    const cut = chance(text.length);
    const ping = frame({ opcode: 9 });
    const start = frame({ payload: text.subarray(0, cut), isLast: false });
    return of(0, Buffer.concat([start, ping, frame({ opcode: 0, payload: text.subarray(cut) })]));
  },
];

/** A good frame with one bit that is not as it was. */
function flipped(chance: Chance): Sample {
  const bytes = frame({ payload: hello(chance) });
  const at = chance(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << chance(8));
  return of(undefined, bytes);
}

export function pick(kinds: readonly Kind[], chance: Chance): Sample {
  const kind = kinds[chance(kinds.length)];
  if (!kind) throw new Error("no kinds");
  return kind(chance);
}

/** What became of the frames. */
export interface FuzzReport {
  readonly frames: number;
  /** Close codes of our ends, by how often. */
  readonly codes: ReadonlyMap<number, number>;
  /** Ends that were not as they must be. */
  readonly wrong: readonly string[];
}

/** Writes so many frames to connections of both planes, each until it ends, while a member talks. */
export async function fuzzFrames(count: number, seed: number): Promise<FuzzReport> {
  const house = await openHouse({ limits: PATIENT });
  const innocent = await Innocent.join(house);
  const chance = chanceOf(seed);
  const codes = new Map<number, number>();
  const wrong: string[] = [];
  let frames = 0;
  const one = async (): Promise<void> => {
    const { code, expected } = await fuzzConnection(house, chance, () => frames++);
    codes.set(code, (codes.get(code) ?? 0) + 1);
    const isRight = expected === undefined ? code !== 1011 : code === expected;
    if (!isRight) wrong.push(`${code} instead of ${expected}`);
  };
  while (frames < count) {
    await Promise.all(Array.from({ length: ABREAST }, one));
    await innocent.talk();
  }
  await innocent.leave();
  await house.listener.close();
  return { frames, codes, wrong };
}

/** Right frames, a wrong one, and then whatever. */
async function fuzzConnection(
  house: House,
  chance: Chance,
  onFrame: () => void,
): Promise<{ code: number; expected: number | undefined }> {
  const isRing = chance(3) === 0;
  const headers = isRing
    ? headersFor(house.token, { [HEADER.ticket]: house.ticket("mallory") }, "ring")
    : headersFor(house.token);
  const before = new Set(house.listener.connections);
  const client = new RawClient(house.listener.port);
  await client.upgrade(headers, isRing ? "/ring" : "/control");
  const address = `127.0.0.1:${client.socket.localPort}`;
  const connection = [...house.listener.connections].find(
    (each) => !before.has(each) && each.peer.address === address,
  );
  if (!connection) throw new Error("no connection");
  // on the ring, all that is right is a window, once
  const pieces: Uint8Array[] = isRing ? [creditFrame(1 + chance(100))] : [];
  let expected: number | undefined = 0;
  for (let i = 0; i < BURST; i++) {
    const isWrong = i > 0 && chance(4) === 0;
    if (isRing && !isWrong) continue;
    const kinds = isWrong ? (isRing ? RING : CONTROL) : RIGHT_CONTROL;
    const { bytes, code } = pick(kinds, chance);
    if (expected === 0) expected = code;
    pieces.push(bytes);
    onFrame();
  }
  client.write(Buffer.concat(pieces));
  client.socket.end();
  const { code } = await connection.closed;
  client.destroy();
  // nobody said goodbye
  return { code, expected: expected === 0 ? 1006 : expected };
}

/** Sends requests that are nearly right; statuses by how often, and those let in that should not have been. */
export async function fuzzRequests(
  count: number,
  seed: number,
): Promise<{ statuses: ReadonlyMap<number, number>; wrong: readonly string[] }> {
  const house = await openHouse({ limits: PATIENT });
  const innocent = await Innocent.join(house);
  const chance = chanceOf(seed);
  const statuses = new Map<number, number>();
  const wrong: string[] = [];
  const one = async (): Promise<void> => {
    const headers = headersFor(house.token);
    const bytes = Buffer.from(requestOf("/control", headers), "latin1");
    for (let flips = 1 + chance(3); flips > 0; flips--) bytes[chance(bytes.length)] = chance(256);
    const client = new RawClient(house.listener.port);
    client.write(bytes);
    client.socket.end();
    await client.until((received) => received.includes("\r\n\r\n"));
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(client.received.toString("latin1"))?.[1] ?? 0);
    client.destroy();
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const text = bytes.toString("latin1").toLowerCase();
    const isKnown = text.includes(headers["Authorization"]?.slice(7) ?? "none");
    if (status === 101 && !isKnown) wrong.push(text);
  };
  for (let done = 0; done < count; done += ABREAST) {
    await Promise.all(Array.from({ length: ABREAST }, one));
    await innocent.talk();
  }
  await innocent.leave();
  await house.listener.close();
  return { statuses, wrong };
}

/** Where a mutated request may be cut, and what is put there. */
const SPLICES: readonly string[] = [
  ...["\r\n", "\r\n\r\n", "\n", ":", " ", "\0", "%00", "..", "?a=b", "HTTP/1.0", "chunked", "-1"],
  ...["Transfer-Encoding: chunked\r\n", "Content-Length: 7\r\n", "Connection: Upgrade\r\n"],
  ...["Expect: 100-continue\r\n", "Expect: other\r\n", "Range: bytes=0-1\r\n", "ffffffff\r\n"],
];

/** A good plain request, less what chance has flipped, put in, cut out or said twice. */
export function mutated(
  token: Token,
  chance: Chance,
  given: Readonly<Record<string, string>> = {},
): Buffer {
  const isPost = chance(2) === 0;
  const body = "x".repeat(chance(40));
  const length = isPost ? { "Content-Length": `${body.length}` } : {};
  const headers = plainHeadersFor(token, { ...length, ...given });
  const path = ["/echo", "/blobs/abc", "/status", "/control"][chance(4)] ?? "";
  let bytes = Buffer.from(requestOf(path, headers, isPost ? "POST" : "GET") + (isPost ? body : ""));
  for (let changes = chance(4); changes > 0; changes--) {
    const at = chance(bytes.length + 1);
    const start = bytes.subarray(0, at);
    const kind = chance(4);
    const splice = Buffer.from(SPLICES[chance(SPLICES.length)] ?? "");
    if (kind === 0 && at < bytes.length) bytes[at] = chance(256);
    else if (kind === 1) bytes = Buffer.concat([start, splice, bytes.subarray(at)]);
    else if (kind === 2) bytes = Buffer.concat([start, bytes.subarray(at + chance(20))]);
    else bytes = Buffer.concat([bytes, bytes.subarray(0, at)]);
  }
  return bytes;
}

/** Sends so many plain requests that are nearly right, some at once; statuses by how often, and what else was amiss. */
export async function fuzzPlainRequests(
  count: number,
  seed: number,
): Promise<{ statuses: ReadonlyMap<number, number>; wrong: readonly string[] }> {
  const wrong: string[] = [];
  const answer: Route["answer"] = async ({ body, role, nodeId, segment }) => {
    if (role !== "trainer" || !isNodeId(nodeId)) wrong.push(`${role} ${nodeId}`);
    return { status: 200, body: { length: body.length, segment } };
  };
  const roles = ["trainer"] as const;
  const routes: readonly Route[] = [
    { method: "POST", path: "/echo", roles, bodyBytes: 32, answer },
    { method: "GET", path: "/blobs/", roles, answer },
    { method: "GET", path: "/status", roles, answer },
  ];
  const limits = { ...PATIENT, requestsPerNode: 64, pendingPerAddress: 128 };
  const house = await openHouse({
    limits,
    routes,
    onFault: (error) => void wrong.push(`${error}`),
  });
  const innocent = await Innocent.join(house);
  const chance = chanceOf(seed);
  const statuses = new Map<number, number>();
  const bearer = house.token.bearer("trainer").reveal();
  let sent = 0;
  const one = async (): Promise<void> => {
    const requests = Array.from({ length: 1 + chance(7) }, () => mutated(house.token, chance));
    sent += requests.length;
    const bytes = Buffer.concat(requests);
    const client = new RawClient(house.listener.port);
    client.write(bytes);
    client.socket.end();
    const text = (await client.rest()).toString("latin1");
    for (const [, status] of text.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
      statuses.set(Number(status), (statuses.get(Number(status)) ?? 0) + 1);
    }
    const isKnown = bytes.toString("latin1").includes(bearer);
    if (text.includes(HEADER.proof) && !isKnown) wrong.push(bytes.toString("latin1"));
  };
  while (sent < count) {
    await Promise.all(Array.from({ length: 4 * ABREAST }, one));
    await innocent.talk();
  }
  if (house.listener.connections.size !== 2) wrong.push("somebody is left");
  await innocent.leave();
  await house.listener.close();
  if (house.listener.guests + house.listener.strangers > 0) wrong.push("a socket is left");
  return { statuses, wrong };
}

/** Streams of good chunks with bytes that chance has changed, from a predecessor; each end's code, and the longest payload. */
export async function fuzzChunks(
  streams: number,
  seed: number,
  chunkBytes: number,
): Promise<{ codes: ReadonlySet<number>; longest: number; chunks: number }> {
  const token = Token.create();
  const chance = chanceOf(seed);
  const impostor = await openRingImpostor(token);
  const codes = new Set<number>();
  let longest = 0;
  let chunks = 0;
  impostor.onConnection = (socket) => {
    const pieces = Array.from({ length: 20 }, () => {
      const length = chance(chunkBytes + 1);
      const chunk = Buffer.concat([headerOf(length), bytesOf(length, chance)]);
      return ringFrame(FRAME.chunk, chunk);
    });
    const bytes = Buffer.concat(pieces);
    for (let changes = chance(4); changes > 0; changes--) bytes[chance(bytes.length)] = chance(256);
    socket.end(bytes);
  };
  for (let i = 0; i < streams; i++) {
    const receiver = await dialRing(impostor.url, {
      ...{ runId: RUN_ID, nodeId: "member", peer: "house", token, ticket: "any" },
      limits: { ...PATIENT, chunkBytes },
      open: () => ({
        chunk: (_header, payload) => {
          longest = Math.max(longest, payload.length);
          chunks++;
        },
      }),
    });
    codes.add((await receiver.closed).code);
  }
  impostor.close();
  return { codes, longest, chunks };
}
