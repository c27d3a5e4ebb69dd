import { createServer } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dialControl } from "../../../cluster/transport/dial.ts";
import { HEADER } from "../../../cluster/transport/handshake.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { frame, headersFor, RawClient, RUN_ID, requestOf, textFrame } from "./hostile.ts";
import { openImpostor } from "./impostor.ts";
import { codec, type House, Innocent, openHouse, PATIENT, until } from "./members.ts";

const MIB = 2 ** 20;

let houses: House[] = [];

beforeEach(() => {
  houses = [];
});

afterEach(() => Promise.all(houses.map(({ listener }) => listener.close())));

async function houseOf(options: Parameters<typeof openHouse>[0]): Promise<House> {
  const house = await openHouse(options);
  houses.push(house);
  return house;
}

test("headers that come a letter at a time are cut short with 408, and so is silence", async () => {
  const house = await houseOf({ limits: { ...PATIENT, handshakeMs: 500 } });
  const innocent = await Innocent.join(house);
  const request = requestOf("/control", headersFor(house.token));
  const loris = Array.from({ length: 20 }, () => new RawClient(house.listener.port));
  const silent = Array.from({ length: 10 }, () => new RawClient(house.listener.port));
  let at = 0;
  const drip = setInterval(() => {
    for (const client of loris) client.write(request[at] ?? "");
    at = Math.min(at + 1, request.length - 5);
  }, 10);
  const statuses = await Promise.all(loris.map((client) => client.status()));
  clearInterval(drip);
  expect(new Set(statuses)).toEqual(new Set([408]));
  await Promise.all(silent.map((client) => client.rest()));
  await until(() => house.listener.strangers === 0);
  await innocent.talk();
  await innocent.leave();
});

test("a stranger is gone after the deadline whatever it has said", async () => {
  const clock = new ManualClock();
  const house = await houseOf({ clock });
  const client = new RawClient(house.listener.port);
  client.write("GET /control HTTP/1.1\r\nHost: a\r\n");
  await until(() => house.listener.strangers === 1);
  clock.advance(2_999);
  expect(house.listener.strangers).toBe(1);
  clock.advance(1);
  await client.rest();
  await until(() => house.listener.strangers === 0);
});

test("headers beyond 8 KiB, or too many of them, are answered with 431", async () => {
  const house = await houseOf({ limits: PATIENT });
  const long = new RawClient(house.listener.port);
  long.write(requestOf("/control", headersFor(house.token, { "X-Long": "x".repeat(9_000) })));
  expect(await long.status()).toBe(431);
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`x-${i}`, ""]));
  const client = new RawClient(house.listener.port);
  client.write(requestOf("/control", headersFor(house.token, many)));
  expect(await client.status()).toBe(431);
});

test("what is not HTTP is answered with 400, and a body is not waited for", async () => {
  const house = await houseOf({ limits: PATIENT });
  const junk = new RawClient(house.listener.port);
  junk.write(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
  expect(await junk.status()).toBe(400);
  const post = new RawClient(house.listener.port);
  post.write("POST /control HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
  expect(await post.status()).toBe(426);
});

test("strangers beyond the limit of their address are told 429, beyond that of all 503", async () => {
  for (const [limits, status] of [
    [{ pending: 64, pendingPerAddress: 8 }, 429],
    [{ pending: 8, pendingPerAddress: 64 }, 503],
  ] as const) {
    const house = await houseOf({ limits: { ...PATIENT, ...limits } });
    const innocent = await Innocent.join(house);
    const clients = Array.from({ length: 60 }, () => new RawClient(house.listener.port));
    await until(() => clients.filter(({ socket }) => socket.destroyed).length === 52);
    const out = clients.filter(({ socket }) => socket.destroyed);
    for (const client of out) expect(await client.status()).toBe(status);
    expect(house.listener.strangers).toBe(8);
    await innocent.talk();
    for (const client of clients) client.destroy();
    await until(() => house.listener.strangers === 0);
    await (await Innocent.join(house)).leave();
    await innocent.leave();
  }
});

test("thousands of connections leave nothing behind", async () => {
  const house = await houseOf({ limits: PATIENT });
  const innocent = await Innocent.join(house);
  const handlesBefore = socketsOpen();
  for (let round = 0; round < 20; round++) {
    const clients = Array.from({ length: 100 }, () => new RawClient(house.listener.port));
    for (const [i, client] of clients.entries()) {
      if (i % 3 === 0) client.write(requestOf("/control", headersFor(house.token)));
      if (i % 3 === 1) client.write(requestOf("/ring", headersFor(house.token, {}, "ring")));
    }
    await innocent.talk();
    for (const client of clients) client.destroy();
  }
  await until(() => house.listener.strangers === 0 && house.listener.connections.size === 2);
  await until(() => socketsOpen() <= handlesBefore);
  await innocent.talk();
  await innocent.leave();
});

test("who is let in and says nothing is told 4001", async () => {
  const clock = new ManualClock();
  const house = await houseOf({ clock, limits: { heartbeatMs: 60_000 } });
  const client = await new RawClient(house.listener.port).upgrade(headersFor(house.token));
  const ticket = { [HEADER.ticket]: house.ticket("mallory") };
  const ring = await new RawClient(house.listener.port).upgrade(
    headersFor(house.token, ticket, "ring"),
    "/ring",
  );
  const ends = [...house.listener.connections].map(({ closed }) => closed);
  clock.advance(1_999);
  expect([...house.listener.connections].every(({ isOpen }) => isOpen)).toBe(true);
  clock.advance(1);
  expect([...house.listener.connections].some(({ isOpen }) => isOpen)).toBe(false);
  clock.advance(1_000);
  for (const end of await Promise.all(ends)) expect(end).toMatchObject({ code: 4001, by: "us" });
  expect([await client.closeCode(), await ring.closeCode()]).toEqual([4001, 4001]);
});

test("who hangs is parted with after three beats, and any sign of life puts that off", async () => {
  const clock = new ManualClock();
  const house = await houseOf({ clock, limits: { firstMessageMs: 600_000 } });
  const client = await new RawClient(house.listener.port).upgrade(headersFor(house.token));
  const [connection] = house.controls;
  for (const bytes of [textFrame({ say: "one" }), frame({ opcode: 10 }), frame({ opcode: 9 })]) {
    clock.advance(1_000);
    client.write(bytes);
    // the echo of what is said after it shows that it was read
    client.write(textFrame({ say: `after ${clock.now()}` }));
    await client.until((received) => received.includes(`after ${clock.now()}`));
    expect(connection?.isOpen).toBe(true);
  }
  clock.advance(1_999);
  expect(connection?.isOpen).toBe(true);
  clock.advance(1);
  expect(await connection?.closed).toMatchObject({ code: 4002, by: "us" });
  expect(await client.closeCode()).toBe(4002);
  expect(clock.pending).toBe(0);
});

test("who dials a node that hangs parts with it too", async () => {
  const clock = new ManualClock();
  const { token } = await houseOf({});
  const impostor = await openImpostor(token, { autoPong: false });
  const connection = await dialControl(impostor.url, {
    ...{ runId: RUN_ID, nodeId: "member", token, clock, codec },
    open: () => ({ message: () => {} }),
  });
  clock.advance(1_499);
  expect(connection.isOpen).toBe(true);
  clock.advance(1);
  expect(await connection.closed).toMatchObject({ code: 4002, by: "us" });
  expect(clock.pending).toBe(0);
  impostor.close();
});

test("who dials a node that never answers gives up", async () => {
  const clock = new ManualClock();
  const { token } = await houseOf({});
  let isDialled = false;
  const server = createServer((socket) => {
    isDialled = true;
    socket.on("error", () => {}).write("HTTP/1.1 101 Switching ");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const dialled = dialControl(`ws://127.0.0.1:${port}`, {
    ...{ runId: RUN_ID, nodeId: "member", token, clock, codec },
    open: () => ({ message: () => {} }),
  });
  const refusal = expect(dialled).rejects.toMatchObject({ code: "peer_unreachable" });
  await until(() => isDialled);
  clock.advance(2_000);
  await refusal;
  expect(clock.pending).toBe(0);
  server.close();
});

test("messages that are not read fill no memory, and end the connection with 4003", async () => {
  const house = await houseOf({ limits: { ...PATIENT, bufferedBytes: 4 * MIB } });
  const client = await new RawClient(house.listener.port).upgrade(headersFor(house.token));
  client.socket.pause();
  const [connection] = house.controls;
  if (!connection) throw new Error("no connection");
  const say = "x".repeat(MIB / 2);
  let most = 0;
  let sent = 0;
  while (connection.send({ say })) {
    most = Math.max(most, connection.bufferedBytes);
    sent++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(sent).toBeGreaterThan(4);
  expect(most).toBeLessThanOrEqual(4 * MIB);
  expect(await connection.closed).toMatchObject({ code: 4003, by: "us" });
  expect(connection.send({ say: "" })).toBe(false);
  client.destroy();
});

test("what is not of the protocol is not sent", async () => {
  const house = await houseOf({ limits: PATIENT });
  await new RawClient(house.listener.port).upgrade(headersFor(house.token));
  const [connection] = house.controls;
  const send = (message: unknown): unknown => connection?.send(message as { say: string });
  expect(() => send({ say: 1 })).toThrowError(/message_invalid/);
  expect(() => send({ say: "x".repeat(MIB) })).toThrowError(/message_invalid/);
  expect(send({ say: "fine" })).toBe(true);
});

test("a door that closes leaves no socket and no timer, whoever stands in it", async () => {
  const before = socketsOpen();
  const clock = new ManualClock();
  const house = await openHouse({ clock });
  const innocent = await Innocent.join(house);
  const stranger = new RawClient(house.listener.port);
  const deaf = await new RawClient(house.listener.port).upgrade(headersFor(house.token));
  await until(() => house.listener.strangers === 1);
  const closed = house.listener.close();
  expect(house.listener.close()).toBe(closed);
  // one that does not answer the close frame is given a second
  await until(() => house.listener.connections.size === 1);
  clock.advance(1_000);
  await closed;
  await Promise.all([stranger.rest(), deaf.rest(), innocent.leave()]);
  await until(() => socketsOpen() <= before);
  expect(clock.pending).toBe(0);
  await expect(Innocent.join(house)).rejects.toMatchObject({ code: "peer_unreachable" });
});

function socketsOpen(): number {
  return process.getActiveResourcesInfo().filter((kind) => /^TCP(Server|Socket)Wrap$/.test(kind))
    .length;
}
