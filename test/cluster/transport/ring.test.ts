import type { Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import type { ConnectionEnd } from "../../../cluster/transport/close-code.ts";
import { type DialRingOptions, dialRing } from "../../../cluster/transport/dial-ring.ts";
import { closeFrame, FRAME } from "../../../cluster/transport/frame.ts";
import { HEADER } from "../../../cluster/transport/handshake.ts";
import { DEFAULT_LIMITS } from "../../../cluster/transport/limits.ts";
import type { RingReceiver, RingSender } from "../../../cluster/transport/ring-connection.ts";
import { creditFrame, frame, headersFor, RawClient, RUN_ID, ringFrame } from "./hostile.ts";
import { openRingImpostor } from "./impostor.ts";
import { type House, headerOf, openHouse, PATIENT, until } from "./members.ts";

const KIB = 2 ** 10;
const MIB = 2 ** 20;

let house: House;

beforeAll(async () => {
  house = await openHouse({ limits: PATIENT });
});

afterAll(() => house.listener.close());

async function pair(
  open: DialRingOptions["open"],
  given: Partial<DialRingOptions> = {},
  at = house,
): Promise<{ sender: RingSender; receiver: RingReceiver }> {
  const before = at.senders.length;
  const receiver = await dialRing(at.listener.url, {
    ...{ runId: RUN_ID, nodeId: "member", peer: "house", token: at.token, limits: PATIENT },
    ticket: at.ticket("member"),
    open,
    ...given,
  });
  const sender = at.senders[before];
  if (!sender) throw new Error("no sender");
  return { sender, receiver };
}

test("chunks come whole, in order, whatever their length", async () => {
  const lengths = [0, 1, 63, 64, 65, 125, 126, 4_096, 65_535, 65_536, MIB - 1, MIB];
  const received: [number, Uint8Array][] = [];
  const { sender, receiver } = await pair(() => ({
    chunk: (header, payload) => {
      received.push([Buffer.from(header).readUInt32LE(0), payload]);
    },
  }));
  const sent = lengths.map((length, mark) => {
    const payload = Uint8Array.from({ length }, (_, i) => (i * 31 + mark) & 255);
    void sender.send(headerOf(length, mark), payload);
    return [mark, payload] as const;
  });
  await sender.whenIdle();
  expect(received.length).toBe(sent.length);
  for (const [i, [mark, payload]] of sent.entries()) {
    expect(received[i]?.[0]).toBe(mark);
    expect(Buffer.compare(received[i]?.[1] ?? new Uint8Array(), payload)).toBe(0);
  }
  expect(sender.inFlight).toBe(0);
  await receiver.close();
  expect(await sender.closed).toMatchObject({ code: 1000, by: "peer" });
});

test("chunks are sent from where they are, in memory that threads share", async () => {
  const payload = new Uint8Array(new SharedArrayBuffer(2 ** 17), 12, 100_000);
  for (let i = 0; i < payload.length; i++) payload[i] = i & 255;
  const received: Uint8Array[] = [];
  const { sender, receiver } = await pair(() => ({
    chunk: (_header, bytes) => void received.push(bytes),
  }));
  await sender.send(headerOf(payload.length), payload);
  await sender.whenIdle();
  expect(received[0]?.length).toBe(payload.length);
  expect(received[0]?.every((byte, i) => byte === (i & 255))).toBe(true);
  await receiver.close();
});

test("no more chunks are on their way than the receiver's window, or the sender's", async () => {
  for (const [limit, window] of [
    [2, 2],
    [100, 8],
  ] as const) {
    const releases: (() => void)[] = [];
    const { sender, receiver } = await pair(
      () => ({ chunk: () => new Promise<void>((resolve) => releases.push(resolve)) }),
      { limits: { ...PATIENT, window: limit } },
    );
    let sent = 0;
    for (let i = 0; i < 20; i++) {
      void sender.send(headerOf(100, i), new Uint8Array(100)).then(() => sent++);
    }
    await until(() => releases.length === window);
    expect(sent).toBe(window);
    expect(sender.inFlight).toBe(window);
    releases.shift()?.();
    await until(() => releases.length === window);
    expect(sent).toBe(window + 1);
    const idle = sender.whenIdle();
    while (sent < 20 || releases.length > 0) {
      releases.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
      await until(() => releases.length > 0 || (sent === 20 && sender.inFlight === 0));
    }
    await idle;
    await receiver.close();
  }
});

test("a receiver that does not read fills no memory, and is parted with", async () => {
  const limits = { ...PATIENT, window: 1_000, bufferedBytes: 4 * MIB, stallMs: 300 };
  const at = await openHouse({ limits });
  const headers = headersFor(at.token, { [HEADER.ticket]: at.ticket("mallory") }, "ring");
  const client = await new RawClient(at.listener.port).upgrade(headers, "/ring");
  const [sender] = at.senders;
  if (!sender) throw new Error("no sender");
  await client.push(creditFrame(1_000));
  client.socket.pause();
  const payload = new Uint8Array(MIB);
  let most = 0;
  const sends: Promise<unknown>[] = [];
  for (let i = 0; i < 200; i++) {
    sends.push(
      sender.send(headerOf(MIB, i), payload).then(
        () => {
          most = Math.max(most, sender.bufferedBytes);
          return "sent";
        },
        (error: unknown) => (error as ClusterError).code,
      ),
    );
  }
  expect(await sender.closed).toMatchObject({ code: 4003, by: "us" });
  expect(most).toBeGreaterThan(MIB);
  expect(most).toBeLessThanOrEqual(4 * MIB);
  const outcomes = await Promise.all(sends);
  // what the kernels of both ends took in is gone as well
  expect(outcomes.filter((outcome) => outcome === "sent").length).toBeLessThan(100);
  expect(outcomes.at(-1)).toBe("connection_closed");
  client.destroy();
  await at.listener.close();
});

test("a slow receiver slows the sender, and is not parted with", async () => {
  const at = await openHouse({ limits: { ...PATIENT, bufferedBytes: 2 * MIB } });
  let chunks = 0;
  const { sender, receiver } = await pair(
    () => ({
      chunk: async () => {
        chunks++;
        await new Promise((resolve) => setTimeout(resolve, 3));
      },
    }),
    { limits: { ...PATIENT, window: 4 } },
    at,
  );
  for (let i = 0; i < 40; i++) {
    await sender.send(headerOf(MIB / 4, i), new Uint8Array(MIB / 4));
    expect(sender.bufferedBytes).toBeLessThanOrEqual(2 * MIB);
    expect(sender.inFlight).toBeLessThanOrEqual(4);
  }
  await sender.whenIdle();
  expect(chunks).toBe(40);
  expect(receiver.isOpen).toBe(true);
  await receiver.close();
  await at.listener.close();
});

test("what is no chunk is not sent", async () => {
  const { sender, receiver } = await pair(() => ({ chunk: () => {} }));
  const wrong: [Uint8Array, Uint8Array][] = [
    [headerOf(3), new Uint8Array(4)],
    [new Uint8Array(63), new Uint8Array()],
    [headerOf(MIB + 1), new Uint8Array(MIB + 1)],
  ];
  for (const [header, payload] of wrong) {
    await expect(sender.send(header, payload)).rejects.toMatchObject({ code: "argument_invalid" });
  }
  await sender.send(headerOf(4), new Uint8Array(4));
  await sender.whenIdle();
  await receiver.close();
  await sender.closed;
  await expect(sender.send(headerOf(0), new Uint8Array())).rejects.toMatchObject({
    code: "connection_closed",
  });
  await expect(sender.whenIdle()).rejects.toMatchObject({ code: "connection_closed" });
});

test("a handler that fails ends the connection: 4000 for a bad chunk, else 1011", async () => {
  const bad = new ClusterError({ code: "frame_invalid", what: "the sum is wrong." });
  const cases: [number, () => void | Promise<void>][] = [
    [4000, () => Promise.reject(bad)],
    [1011, () => Promise.reject(new Error("a bug"))],
    [
      4000,
      () => {
        throw bad;
      },
    ],
  ];
  for (const [code, chunk] of cases) {
    const ends: ConnectionEnd[] = [];
    const { sender, receiver } = await pair(() => ({ chunk, end: (end) => void ends.push(end) }));
    await sender.send(headerOf(1), new Uint8Array(1));
    expect(await receiver.closed).toMatchObject({ code, by: "us", cause: expect.any(Error) });
    expect(await sender.closed).toMatchObject({ code, by: "peer" });
    expect(ends.length).toBe(1);
  }
});

test("an opener that fails ends the connection too", async () => {
  const { sender, receiver } = await pair(() => {
    throw new Error("a bug");
  });
  expect(await receiver.closed).toMatchObject({ code: 1011, by: "us" });
  expect(await sender.closed).toMatchObject({ code: 1011, by: "peer" });
});

test("a predecessor that sends what it should not is parted with", async () => {
  const { token } = house;
  const impostor = await openRingImpostor(token);
  const endAfter = async (send: (socket: Socket) => void): Promise<ConnectionEnd> => {
    impostor.onConnection = (socket) => void socket.once("data", () => send(socket));
    const receiver = await dialRing(impostor.url, {
      ...{ runId: RUN_ID, nodeId: "member", peer: "house", token, ticket: "any" },
      limits: { ...PATIENT, window: 2, chunkBytes: KIB },
      open: () => ({ chunk: () => new Promise<void>(() => {}) }),
    });
    return receiver.closed;
  };
  const codeAfter = async (...frames: Uint8Array[]): Promise<number> =>
    (await endAfter((socket) => socket.write(Buffer.concat(frames)))).code;
  const chunk = (says: number, has: number): Buffer =>
    ringFrame(FRAME.chunk, Buffer.concat([headerOf(says), new Uint8Array(has)]));
  expect(await codeAfter(ringFrame(0, new Uint8Array(64)))).toBe(1002);
  expect(await codeAfter(creditFrame(1))).toBe(1002);
  expect(await codeAfter(frame({ opcode: 2, isMasked: false, payload: new Uint8Array(20) }))).toBe(
    1002,
  );
  expect(await codeAfter(ringFrame(FRAME.chunk, new Uint8Array(63)))).toBe(4000);
  expect(await codeAfter(chunk(KIB + 1, KIB + 1))).toBe(1009);
  expect(await codeAfter(ringFrame(FRAME.chunk, new Uint8Array(), 2 ** 32 - 1))).toBe(1009);
  expect(await codeAfter(chunk(10, 11))).toBe(4000);
  expect(await codeAfter(chunk(11, 10))).toBe(4000);
  expect(await codeAfter(chunk(0, 0), chunk(0, 0), chunk(0, 0))).toBe(4000);
  const sign = (hops: number): Buffer =>
    ringFrame(FRAME.busy, Buffer.of(7, 0, 0, 0, hops, 0, 0, 0));
  expect(await codeAfter(ringFrame(FRAME.busy, new Uint8Array(7)))).toBe(4000);
  expect(await codeAfter(ringFrame(FRAME.busy, new Uint8Array(), 2 ** 32 - 1))).toBe(4000);
  expect(await codeAfter(sign(0))).toBe(4000);
  const flood = Array.from({ length: 2 * DEFAULT_LIMITS.messageBurst }, () => sign(1));
  expect(await codeAfter(...flood)).toBe(1008);
  expect(await codeAfter(ringFrame(FRAME.close, new Uint8Array(1)))).toBe(1002);
  expect(await endAfter((socket) => socket.destroy())).toMatchObject({ code: 1006 });
  const half = chunk(KIB, KIB).subarray(0, 500);
  expect(await endAfter((socket) => socket.end(half))).toMatchObject({
    ...{ code: 1006, by: "network" },
  });
  expect(await endAfter((socket) => socket.end(closeFrame(4321, "enough")))).toEqual({
    ...{ code: 4321, reason: "enough", by: "peer" },
  });
  impostor.close();
});

test("who answers and is no ring is not believed", async () => {
  const { token } = house;
  for (const given of [{ Upgrade: "websocket" }, { [HEADER.proof]: "0" }, { [HEADER.node]: "b" }]) {
    const impostor = await openRingImpostor(token, given);
    const dialled = dialRing(impostor.url, {
      ...{ runId: RUN_ID, nodeId: "member", token, ticket: "any", limits: PATIENT },
      open: () => ({ chunk: () => {} }),
    });
    await expect(dialled).rejects.toMatchObject({ code: "peer_invalid" });
    impostor.close();
  }
});

test("chunks come right to where they are wanted", async () => {
  const memory = new Uint8Array(new SharedArrayBuffer(3 * MIB));
  const payload = Uint8Array.from({ length: MIB }, (_, i) => (i * 7) & 255);
  const received: Uint8Array[] = [];
  const { sender, receiver } = await pair(() => ({
    place: (header) => {
      const mark = Buffer.from(header).readUInt32LE(0);
      // every other has a place of its own
      return mark % 2 === 0 ? memory.subarray(mark * MIB, (mark + 1) * MIB) : undefined;
    },
    chunk: (_header, bytes) => void received.push(bytes),
  }));
  for (const mark of [0, 1, 2]) await sender.send(headerOf(MIB, mark), payload);
  await sender.whenIdle();
  expect(received.map(({ buffer }) => buffer === memory.buffer)).toEqual([true, false, true]);
  for (const bytes of received) expect(Buffer.compare(bytes, payload)).toBe(0);
  expect(memory.subarray(MIB, 2 * MIB).every((byte) => byte === 0)).toBe(true);
  await receiver.close();
});

test("an epoch that begins closes the door to tickets of the last", async () => {
  const at = await openHouse({ limits: PATIENT });
  const old = at.ticket("member");
  const { receiver } = await pair(() => ({ chunk: () => {} }), {}, at);
  at.listener.openEpoch(2, ["member"]);
  const options = { runId: RUN_ID, nodeId: "member", token: at.token, limits: PATIENT };
  const dialled = dialRing(at.listener.url, {
    ...{ ...options, ticket: old, open: () => ({ chunk: () => {} }) },
  });
  await expect(dialled).rejects.toMatchObject({ code: "peer_unauthorized" });
  expect(receiver.isOpen).toBe(true);
  expect(at.listener.epoch).toBe(2);
  at.listener.openEpoch(1, ["member"]);
  expect(at.listener.epoch).toBe(2);
  await at.listener.close();
  expect(await receiver.closed).toMatchObject({ code: 1001, by: "peer" });
});
