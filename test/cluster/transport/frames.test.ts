import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { FRAME } from "../../../cluster/transport/frame.ts";
import { HEADER } from "../../../cluster/transport/handshake.ts";
import { DEFAULT_LIMITS } from "../../../cluster/transport/limits.ts";
import {
  creditFrame,
  frame,
  headersFor,
  RawClient,
  ringFrame,
  sealed,
  textFrame,
} from "./hostile.ts";
import { type House, Innocent, openHouse, PATIENT } from "./members.ts";

const MIB = 2 ** 20;

let house: House;
let innocent: Innocent;

beforeAll(async () => {
  house = await openHouse({ limits: { ...PATIENT, closeMs: 200 } });
  innocent = await Innocent.join(house);
});

afterEach(() => innocent.talk());

afterAll(async () => {
  await innocent.leave();
  await house.listener.close();
});

const control = (): Promise<RawClient> =>
  new RawClient(house.listener.port).upgrade(headersFor(house.token));

const ring = (): Promise<RawClient> =>
  new RawClient(house.listener.port).upgrade(
    headersFor(house.token, { [HEADER.ticket]: house.ticket("mallory") }, "ring"),
    "/ring",
  );

/** The code that bytes are answered with, and what our end says of it. */
async function answerTo(client: RawClient, bytes: Uint8Array): Promise<number> {
  const connection = [...house.listener.connections].at(-1);
  client.write(bytes);
  const [code, end] = await Promise.all([client.closeCode(), connection?.closed]);
  expect(end).toMatchObject({ code, by: "us" });
  return code;
}

test("a message of the protocol is answered", async () => {
  const client = await control();
  client.write(textFrame({ say: "hello" }));
  expect(await client.until((received) => received.includes('{"say":"hello"}'))).toBe(true);
  client.write(frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) }));
  expect(await client.closeCode()).toBe(1000);
});

test("frames that are no WebSocket's are answered with 1002", async () => {
  const hello = Buffer.from('{"say":"hello"}');
  const wrong = {
    "not masked": frame({ payload: hello, isMasked: false }),
    "reserved bit 1": frame({ payload: hello, reserved: 4 }),
    "reserved bit 2": frame({ payload: hello, reserved: 2 }),
    "reserved bit 3": frame({ payload: hello, reserved: 1 }),
    "unknown opcode": frame({ opcode: 3 }),
    "unknown control opcode": frame({ opcode: 11 }),
    "continues nothing": frame({ opcode: 0, payload: hello }),
    "ping in fragments": frame({ opcode: 9, isLast: false }),
    "ping too long": frame({ opcode: 9, payload: new Uint8Array(126) }),
    "close of a byte": frame({ opcode: 8, payload: new Uint8Array(1) }),
    "close code 1005": frame({ opcode: 8, payload: Buffer.from([0x03, 0xed]) }),
    "message within a message": Buffer.concat([frame({ isLast: false }), frame()]),
  };
  const clients = await Promise.all(
    Object.entries(wrong).map(async ([name, bytes]) => ({ name, bytes, client: await control() })),
  );
  for (const { bytes, client } of clients) client.write(bytes);
  for (const { name, client } of clients) expect(await client.closeCode(), name).toBe(1002);
});

test("text that is not UTF-8 is answered with 1007, binary with 1003", async () => {
  const bytes = Buffer.from([0xff, 0xfe]);
  expect(await answerTo(await control(), frame({ payload: bytes }))).toBe(1007);
  expect(await answerTo(await control(), frame({ opcode: 2, payload: bytes }))).toBe(1003);
});

test("messages that are not of the protocol are answered with 4000", async () => {
  const wrong = [
    "",
    "{",
    "null",
    '{"say":1}',
    '{"say":"a","and":"b"}',
    '{"__proto__":{"say":"a"}}',
    "[".repeat(100_000),
    `{"say":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
  ];
  for (const text of wrong) {
    const bytes = frame({ payload: sealed(text) });
    expect(await answerTo(await control(), bytes), text.slice(0, 30)).toBe(4000);
  }
});

test("a message above the limit is answered with 1009 before it is whole", async () => {
  const { controlBytes } = DEFAULT_LIMITS;
  const bytes = frame({ length: BigInt(controlBytes + 1), payload: new Uint8Array(10) });
  expect(await answerTo(await control(), bytes)).toBe(1009);
  const half = Buffer.alloc(controlBytes / 2 + 1, "a");
  const fragments = [frame({ isLast: false, payload: half }), frame({ opcode: 0, payload: half })];
  expect(await answerTo(await control(), Buffer.concat(fragments))).toBe(1009);
});

test("who dials the ring may give credit, and go, and nothing else", async () => {
  const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(1);
  expect(await answerTo(await ring(), ringFrame(FRAME.credit, bytes(5)))).toBe(1009);
  expect(await answerTo(await ring(), ringFrame(FRAME.credit, bytes(3)))).toBe(4000);
  expect(await answerTo(await ring(), creditFrame(0))).toBe(4000);
  for (const kind of [0, FRAME.chunk, 4, 0xffff_ffff]) {
    expect(await answerTo(await ring(), ringFrame(kind, bytes(64))), String(kind)).toBe(1002);
  }
  expect(await answerTo(await ring(), textFrame(""))).toBe(1002);
  for (const length of [0, 1, 126]) {
    expect(await answerTo(await ring(), ringFrame(FRAME.close, bytes(length)))).toBe(1002);
  }
  const client = await ring();
  const connection = [...house.listener.connections].at(-1);
  client.write(ringFrame(FRAME.close, Buffer.from("\x01\x04so long\n")));
  expect(await connection?.closed).toEqual({ code: 1025, reason: "so long?", by: "peer" });
});

test("credit for more than was sent is answered with 4000, and so is a flood of it", async () => {
  const floods = [2, 4 * DEFAULT_LIMITS.messageBurst].map((count) =>
    Buffer.concat(Array.from({ length: count }, () => creditFrame(1))),
  );
  for (const flood of floods) expect(await answerTo(await ring(), flood)).toBe(4000);
});

test("lengths that lie are answered with 1009, and nothing is allocated for them", async () => {
  const before = process.memoryUsage();
  for (const length of [2n ** 31n, 2n ** 40n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = frame({ opcode: 2, length });
    expect(await answerTo(await control(), bytes), String(length)).toBe(1009);
  }
  for (const length of [2 ** 20, 2 ** 31, 2 ** 32 - 1]) {
    const bytes = ringFrame(FRAME.credit, new Uint8Array(), length);
    expect(await answerTo(await ring(), bytes), String(length)).toBe(1009);
  }
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 * MIB);
});

test("a message in too many fragments is answered with 1008", async () => {
  for (const payload of [new Uint8Array(), Buffer.from(" ")]) {
    const fragments = Array.from({ length: 10_000 }, () => {
      return frame({ opcode: 0, isLast: false, payload });
    });
    const bytes = Buffer.concat([frame({ isLast: false, payload }), ...fragments]);
    expect(await answerTo(await control(), bytes)).toBe(1008);
  }
});

test("a message in too many pieces is answered with 1008", async () => {
  const small = await openHouse({ limits: { ...PATIENT, controlBytes: 1_024, closeMs: 200 } });
  const client = await new RawClient(small.listener.port).upgrade(headersFor(small.token));
  const [connection] = small.listener.connections;
  client.write(frame({ length: 1_000n }));
  // whether the network delivers each alone is its own affair: until it has, go on
  const message = new Uint8Array(999);
  for (const byte of message) {
    await client.push(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
    if (connection?.isOpen === false) break;
  }
  expect(await connection?.closed).toMatchObject({ code: 1008, by: "us" });
  await small.listener.close();
});

test("floods of messages, pings and pongs are answered with 1008", async () => {
  const count = DEFAULT_LIMITS.messageBurst * 4;
  const floods = [textFrame({ say: "" }), frame({ opcode: 9 }), frame({ opcode: 10 })];
  for (const bytes of floods) {
    const client = await control();
    const flood = Buffer.concat(Array.from({ length: count }, () => bytes));
    const connection = [...house.listener.connections].at(-1);
    client.write(flood);
    expect(await connection?.closed).toMatchObject({ code: 1008, by: "us" });
    expect(await client.closeCode()).toBe(1008);
  }
});

test.each([
  { plane: "control", wrong: frame({ reserved: 7 }), code: 1002 },
  { plane: "ring", wrong: creditFrame(0), code: 4000 },
] as const)("who is told to go from $plane and floods on is cut off", async (given) => {
  const { plane, wrong, code } = given;
  const client = new RawClient(house.listener.port, { clings: true });
  const ticket = { [HEADER.ticket]: house.ticket("mallory") };
  await client.upgrade(headersFor(house.token, ticket, plane), `/${plane}`);
  const connection = [...house.listener.connections].at(-1);
  client.write(wrong);
  const before = process.memoryUsage().arrayBuffers;
  const junk = Buffer.alloc(MIB);
  let isGone = false;
  void connection?.closed.then(() => {
    isGone = true;
  });
  while (!isGone) {
    await Promise.race([client.push(junk), connection?.closed]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
  expect(await connection?.closed).toMatchObject({ code, by: "us" });
  client.destroy();
});
