import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { checksumOf } from "../../../cluster/protocol/checksum.ts";
import { HEADER } from "../../../cluster/transport/handshake.ts";
import type { Route, RouteRequest } from "../../../cluster/transport/route.ts";
import { Token } from "../../../cluster/transport/token.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { headersFor, plainHeadersFor, RawClient, requestOf } from "./hostile.ts";
import { type House, Innocent, openHouse, PATIENT, until } from "./members.ts";

const MIB = 2 ** 20;
const asked: RouteRequest[] = [];
const faults: unknown[] = [];
let whenAsked = (): void => {};

const trainers = { roles: ["trainer"] } as const;

const ROUTES: readonly Route[] = [
  {
    ...{ method: "GET", path: "/status", roles: ["trainer", "rollout"] },
    answer: async (request) => {
      asked.push(request);
      return { status: 200, body: { role: request.role, node: request.nodeId } };
    },
  },
  {
    ...{ method: "POST", path: "/status", roles: ["trainer", "rollout"], bodyBytes: 1_000 },
    answer: async ({ body }) => ({ status: 201, body, headers: { "X-Length": `${body.length}` } }),
  },
  {
    ...trainers,
    method: "GET",
    path: "/things/",
    answer: async ({ segment }) => ({ status: 200, body: { segment } }),
  },
  { ...trainers, method: "GET", path: "/fault", answer: () => Promise.reject(new Error("inside")) },
  {
    ...trainers,
    method: "GET",
    path: "/header",
    answer: async () => ({ status: 200, headers: { a: "b\r\nc: d" } }),
  },
  { ...trainers, method: "GET", path: "/number", answer: async () => ({ status: 1 }) },
  {
    ...trainers,
    method: "GET",
    path: "/large",
    answer: async () => ({ status: 200, body: new Uint8Array(64 * MIB) }),
  },
  {
    ...{ method: "GET", path: "/wait", roles: ["trainer", "rollout"] },
    answer: (request) =>
      new Promise((resolve) => {
        asked.push(request);
        request.signal.addEventListener("abort", () => resolve({ status: 200 }));
        whenAsked();
      }),
  },
];

let house: House;
let innocent: Innocent;
let others: House[] = [];

const open = async (given: Parameters<typeof openHouse>[0] = {}): Promise<House> => {
  const house = await openHouse({
    ...{ routes: ROUTES, onFault: (error) => void faults.push(error) },
    ...given,
    limits: { ...PATIENT, ...given.limits },
  });
  others.push(house);
  return house;
};

beforeAll(async () => {
  house = await open();
  others = [];
  innocent = await Innocent.join(house);
});

afterEach(async () => {
  await Promise.all(others.map(({ listener }) => listener.close()));
  others = [];
});

afterAll(async () => {
  await innocent.talk();
  await innocent.leave();
  await house.listener.close();
});

interface Given {
  readonly headers?: Record<string, string | undefined>;
  readonly method?: string;
  readonly body?: string;
  readonly at?: House;
}

/** The status line's number, and all there is after it. */
async function answerTo(
  path: string,
  given: Given = {},
): Promise<{ status: number; text: string }> {
  const { method = "GET", body = "", at = house } = given;
  const headers = plainHeadersFor(at.token, {
    ...(body !== "" && { "Content-Length": String(body.length) }),
    Connection: "close",
    ...given.headers,
  });
  const client = new RawClient(at.listener.port);
  client.write(requestOf(path, headers, method) + body);
  const text = (await client.rest()).toString();
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text };
}

/** Status, and the last refusal with it. */
async function refusal(path: string, given: Given = {}): Promise<string> {
  const { status, text } = await answerTo(path, given);
  const told = (given.at ?? house).refusals.at(-1) ?? "";
  expect(told.startsWith(`${status} `), `${status}, told ${told}`).toBe(true);
  expect(text.endsWith(`\r\n\r\n${told.slice(4)}`)).toBe(true);
  expect(text).not.toContain(HEADER.proof);
  return told;
}

const asRollout = (token = house.token): Record<string, string> => ({
  Authorization: `Bearer ${token.bearer("rollout").reveal()}`,
});

test("a good request is answered, with a proof", async () => {
  const { status, text } = await answerTo("/status");
  expect(status).toBe(200);
  expect(text).toContain('{"role":"trainer","node":"mallory"}');
  expect(text).toMatch(/x-forge-node: house\r\nx-forge-proof: [0-9a-f]{64}\r\n/);
  const rollout = await answerTo("/status", { headers: asRollout() });
  expect(rollout.text).toContain('{"role":"rollout","node":"mallory"}');
});

test("a body that has changed on its way is not taken, and JSON is answered with its checksum", async () => {
  const post = (body: string, checked: string): ReturnType<typeof answerTo> =>
    answerTo("/status", {
      ...{ method: "POST", body, headers: { [HEADER.checksum]: checksumOf(checked) } },
    });
  expect(await post('{"reward":1}', '{"reward":1}')).toMatchObject({ status: 201 });
  // nobody can tell whose request it was
  expect(await post('{"reward":9}', '{"reward":1}')).toEqual({ status: 0, text: "" });
  const { text } = await answerTo("/status");
  const [head = "", body = ""] = text.split("\r\n\r\n");
  expect(head.toLowerCase()).toContain(`${HEADER.checksum}: ${checksumOf(body)}`);
});

test("two routes are at one path, and a path with a slash takes one segment more", async () => {
  const posted = await answerTo("/status", { method: "POST", body: "hello" });
  expect(posted.status).toBe(201);
  expect(posted.text).toMatch(/X-Length: 5\r\n[\s\S]*\r\n\r\nhello$/);
  expect((await answerTo("/things/a.b-c_1")).text).toContain('{"segment":"a.b-c_1"}');
});

test("other paths and every query are told 404", async () => {
  for (const path of [
    "/",
    "/other",
    "/status/",
    "/status/a",
    "/things/",
    "/things",
    "/things/a/b",
  ]) {
    expect(await refusal(path), path).toBe("404 no such path");
  }
  for (const path of ["/status?a=1", "/things/a?b", "/things/a%20b", "http://127.0.0.1/status"]) {
    expect(await refusal(path), path).toBe("404 no such path");
  }
  expect(await refusal(`/things/${"x".repeat(129)}`)).toBe("404 no such path");
});

test("who is not of the run is told so, as at the other planes", async () => {
  const told = (headers: Given["headers"]): Promise<string> =>
    refusal("/status", { ...(headers && { headers }) });
  expect(await told({ [HEADER.version]: "0" })).toBe("426 version 1 only");
  expect(await told({ Origin: "http://127.0.0.1" })).toBe("403 no browsers");
  expect(await told({ Authorization: undefined })).toBe("401 bad token");
  const other = Token.create().bearer("trainer").reveal();
  expect(await told({ Authorization: `Bearer ${other}` })).toBe("401 bad token");
  expect(await told({ [HEADER.run]: "f".repeat(32) })).toBe("403 wrong run");
  expect(await told({ [HEADER.node]: "two words" })).toBe("403 no node id");
  expect(await told({ [HEADER.nonce]: undefined })).toBe("403 no nonce");
  expect(await told({ [HEADER.nonce]: "0".repeat(31) })).toBe("403 no nonce");
  expect(await told({ [HEADER.nonce]: `${"0".repeat(31)}:` })).toBe("403 no nonce");
});

test("a method that the path has not is told 405, another role 403, and strangers neither", async () => {
  expect(await refusal("/things/a", { method: "POST" })).toBe("405 no such method");
  expect(await refusal("/status", { method: "DELETE" })).toBe("405 no such method");
  expect((await answerTo("/status", { method: "HEAD" })).status).toBe(405);
  expect(await refusal("/things/a", { headers: asRollout() })).toBe("403 trainers only");
  const headers = { Authorization: undefined };
  expect(await refusal("/things/a", { method: "POST", headers })).toBe("401 bad token");
});

test("a body that is too long is told 413, before it comes where it says so", async () => {
  const post = { method: "POST" } as const;
  const long = { "Content-Length": "1000000000" };
  expect(await refusal("/status", { ...post, headers: long })).toBe("413 1000 bytes at most");
  expect((await answerTo("/status", { ...post, body: "x".repeat(1_000) })).status).toBe(201);
  expect(await refusal("/status", { ...post, body: "x".repeat(1_001) })).toBe(
    "413 1000 bytes at most",
  );
  expect(await refusal("/status", { body: "x" })).toBe("413 0 bytes at most");
  const before = asked.length;
  const client = new RawClient(house.listener.port);
  const chunked = plainHeadersFor(house.token, { "Transfer-Encoding": "chunked" });
  const chunk = `100\r\n${"x".repeat(256)}\r\n`;
  client.write(requestOf("/status", chunked, "POST") + chunk.repeat(4));
  expect(await client.status()).toBe(413);
  expect(asked.length).toBe(before);
});

test("a body in chunks is one, and what follows it is the next request", async () => {
  const client = new RawClient(house.listener.port);
  const chunked = plainHeadersFor(house.token, { "Transfer-Encoding": "chunked" });
  client.write(`${requestOf("/status", chunked, "POST")}2\r\nab\r\n1\r\nc\r\n0\r\n\r\n`);
  await client.until((received) => received.includes("\r\n\r\nabc"));
  client.write(requestOf("/things/next", plainHeadersFor(house.token)));
  await client.until((received) => received.includes('{"segment":"next"}'));
  client.destroy();
});

test("a body that does not come is told 408", async () => {
  const at = await open({ limits: { handshakeMs: 300, requestMs: 300 } });
  const headers = { "Content-Length": "5" };
  const { status } = await answerTo("/status", { at, method: "POST", headers });
  expect(status).toBe(408);
});

test("what a route throws, or answers wrongly, is a 500 that says nothing", async () => {
  for (const path of ["/fault", "/header", "/number"]) {
    const { status, text } = await answerTo(path);
    expect(status, path).toBe(500);
    expect(text).toMatch(/x-forge-proof: [0-9a-f]{64}\r\n[\s\S]*\r\n\r\n$/);
  }
  expect(faults).toHaveLength(3);
  expect(faults[0]).toMatchObject({ message: "inside" });
});

test("who goes while it waits is no longer waited for", async () => {
  const client = new RawClient(house.listener.port);
  const isAsked = new Promise<void>((resolve) => {
    whenAsked = resolve;
  });
  client.write(requestOf("/wait", plainHeadersFor(house.token)));
  await isAsked;
  const { signal } = asked.at(-1) as RouteRequest;
  expect(signal.aborted).toBe(false);
  expect(house.listener.guests).toBeGreaterThan(0);
  client.destroy();
  await until(() => signal.aborted);
  await until(() => house.listener.guests === 0);
});

test("who goes makes no room as long as its answer is being made", async () => {
  let end = (): void => {};
  const answer: Route["answer"] = () =>
    new Promise((resolve) => {
      end = () => resolve({ status: 200 });
      whenAsked();
    });
  const at = await open({ routes: [{ ...trainers, method: "GET", path: "/deaf", answer }] });
  const isAsked = new Promise<void>((resolve) => {
    whenAsked = resolve;
  });
  const client = new RawClient(at.listener.port);
  client.write(requestOf("/deaf", plainHeadersFor(at.token)));
  await isAsked;
  await at.listener.close();
  expect(at.listener.guests).toBe(1);
  end();
  await until(() => at.listener.guests === 0);
});

test("a request that is answered is not told that who asked is gone", async () => {
  await answerTo("/status");
  const { signal } = asked.at(-1) as RouteRequest;
  await until(() => house.listener.guests === 0);
  expect(signal.aborted).toBe(false);
});

test("a second request before the first is answered is told 429", async () => {
  const client = new RawClient(house.listener.port);
  const before = asked.length;
  client.write(requestOf("/wait", plainHeadersFor(house.token)).repeat(2));
  await until(() => house.refusals.at(-1) === "429 one request at a time");
  expect(asked.length).toBe(before + 1);
  client.destroy();
});

test("nothing is done with what comes after a request that is refused", async () => {
  const client = new RawClient(house.listener.port);
  const before = asked.length;
  const bad = requestOf("/status", plainHeadersFor(house.token, { Authorization: undefined }));
  client.write(bad + requestOf("/status", plainHeadersFor(house.token)).repeat(3));
  expect((await client.rest()).toString().match(/HTTP\/1\.1 /g)).toHaveLength(1);
  await until(() => house.listener.guests === 0 && house.listener.strangers === 0);
  expect(asked.length).toBe(before);
});

test("a socket is of one node", async () => {
  const client = new RawClient(house.listener.port);
  client.write(requestOf("/status", plainHeadersFor(house.token)));
  await client.until((received) => received.includes("mallory"));
  client.write(requestOf("/status", plainHeadersFor(house.token, { [HEADER.node]: "alice" })));
  await client.rest();
  expect(house.refusals.at(-1)).toBe("403 socket of another node");
});

test("sockets beyond the limit of a node are told 429, beyond that of a role 503", async () => {
  const at = await open({ limits: { requests: 5, requestsPerNode: 2 } });
  const wait = (node: string, headers = {}): RawClient => {
    const client = new RawClient(at.listener.port);
    client.write(
      requestOf("/wait", plainHeadersFor(at.token, { [HEADER.node]: node, ...headers })),
    );
    return client;
  };
  const clients = ["a", "a", "b", "b", "c"].map((node) => wait(node));
  await until(() => at.listener.guests === 5);
  const asA = { at, headers: { [HEADER.node]: "a" } };
  expect(await refusal("/status", asA)).toBe("429 too many requests of your node");
  expect(await refusal("/status", { at })).toBe("503 too many requests");
  expect((await answerTo("/status", { at, headers: asRollout(at.token) })).status).toBe(200);
  clients[0]?.destroy();
  await until(() => at.listener.guests === 4);
  expect((await answerTo("/status", asA)).status).toBe(200);
});

test("requests beyond their rate are told 429", async () => {
  const at = await open({ clock: new ManualClock(), limits: { messageBurst: 3 } });
  const client = new RawClient(at.listener.port);
  for (let i = 1; i <= 4; i++) {
    client.write(requestOf("/status", plainHeadersFor(at.token)));
    if (i < 4) await client.until((received) => received.toString().split("mallory").length > i);
  }
  await client.rest();
  expect(at.refusals).toEqual(["429 too many requests"]);
});

test("bodies fill no more memory than they may, whoever sends them", async () => {
  const at = await open({ limits: { requestBytes: 2_500 } });
  const headers = plainHeadersFor(at.token, { "Content-Length": "1000" });
  const clients = Array.from({ length: 3 }, () => {
    const client = new RawClient(at.listener.port);
    client.write(requestOf("/status", headers, "POST"));
    return client;
  });
  await until(() => at.refusals.length === 1);
  expect(at.refusals).toEqual(["503 too many bytes"]);
  for (const client of clients) client.destroy();
  await until(() => at.listener.guests === 0);
  expect((await answerTo("/status", { at, method: "POST", body: "x".repeat(1_000) })).status).toBe(
    201,
  );
});

test("an answer that nobody takes is cut off, and fills no memory", async () => {
  const clock = new ManualClock();
  const at = await open({ clock });
  const clients = Array.from({ length: 8 }, () => {
    const client = new RawClient(at.listener.port);
    client.socket.pause();
    client.write(requestOf("/large", plainHeadersFor(at.token)));
    return client;
  });
  await until(() => at.listener.guests === 8 && clock.pending >= 8);
  const before = process.memoryUsage().rss;
  clock.advance(4_999);
  expect(at.listener.guests).toBe(8);
  clock.advance(1);
  await until(() => at.listener.guests === 0);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
  for (const client of clients) client.destroy();
});

test("a socket that has made itself known is no stranger, and is kept for a while", async () => {
  const client = new RawClient(house.listener.port);
  client.write(requestOf("/status", plainHeadersFor(house.token)));
  await client.until((received) => received.includes("mallory"));
  expect(house.listener.strangers).toBe(0);
  expect(client.received.toString()).toContain("Keep-Alive: timeout=10");
  client.destroy();
});

test("a door that closes ends every request and every socket, and calls off what they wait for", async () => {
  const at = await open();
  const waiting = new RawClient(at.listener.port);
  waiting.write(requestOf("/wait", plainHeadersFor(at.token)));
  const idle = new RawClient(at.listener.port);
  idle.write(requestOf("/things/a", plainHeadersFor(at.token)));
  const taking = new RawClient(at.listener.port);
  taking.socket.pause();
  taking.write(requestOf("/large", plainHeadersFor(at.token)));
  const sending = new RawClient(at.listener.port);
  sending.write(requestOf("/status", plainHeadersFor(at.token, { "Content-Length": "9" }), "POST"));
  await idle.until((received) => received.includes("segment"));
  await until(() => at.listener.guests === 4);
  const { signal } = asked.at(-1) as RouteRequest;
  await at.listener.close();
  taking.socket.resume();
  await Promise.all([waiting, idle, taking, sending].map((client) => client.rest()));
  await until(() => at.listener.guests === 0);
  expect(signal.aborted).toBe(true);
});

test("an upgrade to a route, and plain HTTP to a plane, are refused", async () => {
  const client = new RawClient(house.listener.port);
  client.write(requestOf("/status", headersFor(house.token)));
  expect(await client.status()).toBe(404);
  expect(await refusal("/control")).toBe("426 version 1 over WebSocket 13 only");
});

test("routes that cannot be are told", async () => {
  const at = (path: string): Promise<unknown> =>
    openHouse({
      routes: [{ ...trainers, method: "GET", path, answer: async () => ({ status: 200 }) }],
    });
  for (const path of ["", "status", "/", "//", "/a//b", "/a?b", "/control", "/ring"]) {
    await expect(at(path), path).rejects.toMatchObject({ code: "argument_invalid" });
  }
  const [first] = ROUTES;
  const twice = openHouse({ routes: [first, first] as Route[] });
  await expect(twice).rejects.toMatchObject({ code: "argument_invalid" });
});
