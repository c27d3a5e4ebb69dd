import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import { checksumOf } from "../../../cluster/protocol/checksum.ts";
import { HEADER, proofOf } from "../../../cluster/transport/handshake.ts";
import { NodeClient, type NodeClientOptions } from "../../../cluster/transport/node-client.ts";
import type { Route } from "../../../cluster/transport/route.ts";
import { Token } from "../../../cluster/transport/token.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RUN_ID } from "./hostile.ts";
import { type House, openHouse, PATIENT, until, WaitingRoom } from "./members.ts";

const MIB = 2 ** 20;
const LARGE = Uint8Array.from({ length: 8 * MIB + 1 }, (_, i) => i % 251);
const waitingRoom = new WaitingRoom();

const ROUTES: readonly Route[] = [
  {
    ...{ method: "POST", path: "/echo", roles: ["trainer", "rollout"], bodyBytes: 64 * MIB },
    answer: async ({ body }) => ({ status: 200, body }),
  },
  {
    ...{ method: "GET", path: "/who", roles: ["trainer", "rollout"] },
    answer: async ({ role, nodeId, range }) => ({ status: 200, body: { role, nodeId, range } }),
  },
  {
    ...{ method: "GET", path: "/large", roles: ["trainer"] },
    answer: async () => ({ status: 200, body: LARGE }),
  },
  {
    ...{ method: "GET", path: "/missing", roles: ["trainer"] },
    answer: async () => ({ status: 404 }),
  },
  waitingRoom.route,
];

let house: House;
const clients: NodeClient[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  house = await openHouse({ limits: PATIENT, routes: ROUTES });
});

afterEach(() => {
  for (const client of clients.splice(0)) client[Symbol.dispose]();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

afterAll(() => house.listener.close());

function clientOf(given: Partial<NodeClientOptions> = {}): NodeClient {
  const { token } = house;
  const client = new NodeClient({
    ...{ runId: RUN_ID, nodeId: "member", token, limits: { stallMs: 20_000 }, ...given },
  });
  clients.push(client);
  return client;
}

const get = { method: "GET", path: "/who" } as const;

/** A node that answers as it pleases. */
async function impostor(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What the house would prove itself with. */
function proofFor(
  { method, url, headers }: IncomingMessage,
  given: { node?: string; key?: string; path?: string; by?: string } = {},
) {
  const { node = "house", key = String(headers[HEADER.nonce]) } = given;
  const { by = String(headers[HEADER.node]) } = given;
  const what = `${method as "GET"} ${(given.path ?? url) as "/"}` as const;
  const bearer = house.token.bearer("trainer");
  return {
    [HEADER.node]: node,
    [HEADER.proof]: proofOf(bearer, { key, by, what, runId: RUN_ID }, node),
  };
}

test("a node is asked, and answers in JSON or bytes", async () => {
  const client = clientOf();
  const { url } = house.listener;
  const answer = await client.ask(url, { ...get, peer: "house", range: { from: 3, to: 5 } });
  expect(answer).toMatchObject({ nodeId: "house", status: 200 });
  expect(answer.json()).toEqual({ role: "trainer", nodeId: "member", range: "bytes=3-4" });
  const body = Uint8Array.of(0, 255, 128);
  const echo = await client.ask(url, { method: "POST", path: "/echo", body });
  expect([...echo.body]).toEqual([...body]);
  expect(() => echo.json()).toThrowError(/message_invalid/);
  const json = await client.ask(url, { method: "POST", path: "/echo", body: { a: [1] } });
  expect(json.json()).toEqual({ a: [1] });
  const missing = await client.ask(url, { method: "GET", path: "/missing" });
  expect(missing).toMatchObject({ status: 404, nodeId: "house" });
});

test("a rollout node needs no more than the token of rollout nodes", async () => {
  const client = clientOf({ role: "rollout", token: house.token.forRollouts });
  const answer = await client.ask(house.listener.url, get);
  expect(answer.json()).toEqual({ role: "rollout", nodeId: "member" });
  const trainers = client.ask(house.listener.url, { ...get, path: "/large" });
  await expect(trainers).rejects.toMatchObject({ code: "peer_forbidden" });
});

test("requests one after the other go over one socket, and others beside it", async () => {
  const client = clientOf();
  const { url } = house.listener;
  for (let i = 0; i < 5; i++) await client.ask(url, get);
  expect(house.listener.guests).toBe(1);
  await Promise.all(Array.from({ length: 40 }, () => client.ask(url, get)));
  expect(house.listener.guests).toBeLessThanOrEqual(16);
  client[Symbol.dispose]();
  await until(() => house.listener.guests === 0);
});

test("a large answer comes whole, into a place of its own too, and no longer than it may be", async () => {
  const client = clientOf();
  const { url } = house.listener;
  const large = { method: "GET", path: "/large" } as const;
  const into = new Uint8Array(LARGE.length + 1).fill(7);
  const { body } = await client.ask(url, { ...large, into });
  expect(body.buffer).toBe(into.buffer);
  expect(Buffer.compare(body, LARGE)).toBe(0);
  expect(into.at(-1)).toBe(7);
  const copied = await client.ask(url, { ...large, mostBytes: LARGE.length });
  expect(Buffer.compare(copied.body, LARGE)).toBe(0);
  const long = { code: "protocol_violated" };
  await expect(client.ask(url, large)).rejects.toMatchObject(long);
  await expect(client.ask(url, { ...large, into: into.subarray(2) })).rejects.toMatchObject(long);
  const sent = client.ask(url, { method: "POST", path: "/echo", body: LARGE, into });
  expect(Buffer.compare((await sent).body, LARGE)).toBe(0);
});

test("an answer in chunks is held to its length too", async () => {
  const url = await impostor((request, response) => {
    response.writeHead(200, proofFor(request));
    response.write("12345");
    response.end("6789");
  });
  const client = clientOf();
  expect((await client.ask(url, { ...get, mostBytes: 9 })).body.toString()).toBe("123456789");
  const long = client.ask(url, { ...get, mostBytes: 8, peer: "house" });
  await expect(long).rejects.toMatchObject({ code: "protocol_violated", suspect: "house" });
});

test("who refuses is told apart by a code, and no error shows a secret", async () => {
  const refusal = async (
    given: Partial<NodeClientOptions>,
    path: `/${string}` = "/who",
    url = house.listener.url,
  ): Promise<string> => {
    const error: unknown = await Promise.resolve()
      .then(() => clientOf(given).ask(url, { ...get, path }))
      .catch((error: unknown) => error);
    if (!(error instanceof ClusterError)) throw new Error(`not refused: ${inspect(error)}`);
    const shown = `${inspect(error, { depth: 9 })} ${JSON.stringify(error)} ${error.stack}`;
    for (const role of ["trainer", "rollout"] as const) {
      expect(shown).not.toContain(house.token.bearer(role).reveal());
    }
    return error.code;
  };
  expect(await refusal({ token: Token.create() })).toBe("peer_unauthorized");
  expect(await refusal({ runId: "f".repeat(32) })).toBe("peer_forbidden");
  expect(await refusal({}, "/nowhere")).toBe("peer_invalid");
  expect(await refusal({ role: "rollout" }, "/large")).toBe("peer_forbidden");
  expect(await refusal({ nodeId: "not an id" })).toBe("argument_invalid");
  expect(await refusal({ runId: "0" })).toBe("argument_invalid");
  expect(await refusal({ token: house.token.forRollouts })).toBe("token_invalid");
  expect(await refusal({}, "/who", "ws://127.0.0.1:1")).toBe("peer_unreachable");
  expect(await refusal({}, "/who", `${house.listener.url}/who`)).toBe("argument_invalid");
  for (const path of ["/who?a=1", "/who\r\nA: b", "//", "/ü"] as const) {
    expect(await refusal({}, path), path).toBe("argument_invalid");
  }
  const none = clientOf().ask(house.listener.url, { ...get, range: { from: 4, to: 4 } });
  await expect(none).rejects.toMatchObject({ code: "argument_invalid" });
});

test("a node that is full, or takes no such body, says so", async () => {
  const busy = await impostor((_request, response) => response.writeHead(503).end());
  const full = await impostor((_request, response) => response.writeHead(413).end());
  const client = clientOf();
  await expect(client.ask(busy, get)).rejects.toMatchObject({ code: "peer_busy" });
  const refused = client.ask(full, { ...get, peer: "house" });
  await expect(refused).rejects.toMatchObject({ code: "message_invalid", suspect: "house" });
});

test("who cannot prove that it knows the token, for this very request, is not believed", async () => {
  let replayed: Record<string, string> = {};
  const proofs: Record<string, (request: IncomingMessage) => Record<string, string>> = {
    none: () => ({ [HEADER.node]: "house" }),
    zeros: () => ({ [HEADER.node]: "house", [HEADER.proof]: "0".repeat(64) }),
    "of another's name": (request) => ({ ...proofFor(request), [HEADER.node]: "other" }),
    "of another node": (request) => proofFor(request, { node: "other" }),
    "of no node": (request) => proofFor(request, { node: "" }),
    "of another nonce": (request) => proofFor(request, { key: "0".repeat(32) }),
    "for somebody else": (request) => proofFor(request, { by: "other" }),
    "of another path": (request) => proofFor(request, { path: "/large" }),
    replayed: () => replayed,
    "of a rollout node": ({ headers }) => {
      const [key, by] = [String(headers[HEADER.nonce]), String(headers[HEADER.node])];
      const asked = { key, by, what: "GET /who", runId: RUN_ID } as const;
      const proof = proofOf(house.token.bearer("rollout"), asked, "house");
      return { [HEADER.node]: "house", [HEADER.proof]: proof };
    },
  };
  let kind = "good";
  const url = await impostor((request, response) => {
    const made = proofs[kind]?.(request) ?? proofFor(request);
    if (kind === "good") replayed = made;
    response.writeHead(200, made).end("{}");
  });
  const client = clientOf();
  const ask = () => client.ask(url, { ...get, peer: "house" });
  expect((await ask()).json()).toEqual({});
  for (kind of Object.keys(proofs)) {
    await expect(ask(), kind).rejects.toMatchObject({ code: "peer_invalid", suspect: "house" });
  }
});

test("a node that does not answer, or not to the end, is waited for no longer than said", async () => {
  const clock = new ManualClock();
  const client = clientOf({ clock, limits: { stallMs: 700 } });
  let calls = 0;
  const url = await impostor((request, response) => {
    calls++;
    if (request.url === "/half") response.writeHead(200, proofFor(request)).write("half");
  });
  const silent = client.ask(url, get).catch((error: ClusterError) => error.code);
  await until(() => calls === 1);
  clock.advance(699);
  expect(clock.pending).toBe(1);
  clock.advance(1);
  expect(await silent).toBe("peer_unreachable");
  const patient = client.ask(url, { ...get, timeoutMs: 9_000 }).catch(({ code }) => code);
  await until(() => calls === 2);
  clock.advance(8_999);
  expect(clock.pending).toBe(1);
  clock.advance(1);
  expect(await patient).toBe("peer_unreachable");
  const half = client.ask(url, { ...get, path: "/half", timeoutMs: 9_000 });
  const stalled = expect(half).rejects.toMatchObject({ code: "peer_stalled" });
  await until(() => calls === 3);
  // the answer has begun when it is the shorter patience that counts
  let advanced = 0;
  while (clock.pending > 0 && advanced < 8_000) {
    clock.advance(10);
    advanced += 10;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await stalled;
  expect(clock.pending).toBe(0);
});

test("an answer that breaks off is no answer", async () => {
  const url = await impostor((request, response) => {
    response.writeHead(200, { ...proofFor(request), "Content-Length": 10 }).write("half");
    setImmediate(() => request.socket.destroy());
  });
  await expect(clientOf().ask(url, get)).rejects.toMatchObject({ code: "connection_closed" });
});

test("an answer that has changed on its way is no answer", async () => {
  const url = await impostor((request, response) => {
    const checksum = { [HEADER.checksum]: checksumOf('{"step":12}') };
    response.writeHead(200, { ...proofFor(request), ...checksum });
    response.end(request.url === "/who" ? '{"step":12}' : '{"step":92}');
  });
  const client = clientOf();
  expect((await client.ask(url, get)).json()).toEqual({ step: 12 });
  const changed = client.ask(url, { ...get, path: "/other", peer: "house" });
  await expect(changed).rejects.toMatchObject({ code: "connection_closed", suspect: "house" });
});

test("what is no HTTP, or another protocol, is no answer", async () => {
  const url = await impostor((request) => void request.socket.end("nonsense\r\n\r\n"));
  await expect(clientOf().ask(url, get)).rejects.toMatchObject({ code: "peer_unreachable" });
  const switching = await impostor((request) => {
    request.socket.write("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
  });
  await expect(clientOf().ask(switching, get)).rejects.toMatchObject({ code: "peer_unreachable" });
});

test("a redirect is not followed", async () => {
  const url = await impostor((_request, response) => {
    response.writeHead(302, { Location: `${house.listener.url.replace("ws", "http")}/who` }).end();
  });
  await expect(clientOf().ask(url, get)).rejects.toMatchObject({ code: "peer_invalid" });
});

test("a request that is given up, or whose client ends, is over at both ends", async () => {
  const client = clientOf();
  const { url } = house.listener;
  const given = new AbortController();
  const wait = { method: "GET", path: "/wait", timeoutMs: 60_000 } as const;
  const one = client.ask(url, { ...wait, signal: given.signal });
  const other = client.ask(url, wait);
  await until(() => waitingRoom.guests === 2);
  given.abort();
  await expect(one).rejects.toMatchObject({ code: "peer_unreachable" });
  await until(() => waitingRoom.guests === 1);
  client[Symbol.dispose]();
  await expect(other).rejects.toMatchObject({ code: "peer_unreachable" });
  await until(() => waitingRoom.guests === 0 && house.listener.guests === 0);
  await expect(client.ask(url, get)).rejects.toMatchObject({ code: "peer_unreachable" });
  const aborted = clientOf().ask(url, { ...get, signal: AbortSignal.abort() });
  await expect(aborted).rejects.toMatchObject({ code: "peer_unreachable" });
  expect(house.listener.guests).toBe(0);
});

test("a socket that died while it was kept costs a GET nothing", async () => {
  const sockets = new Set<unknown>();
  const url = await impostor((request, response) => {
    // the second request on a socket finds it closed
    if (sockets.has(request.socket)) request.socket.destroy();
    else {
      sockets.add(request.socket);
      response.writeHead(200, proofFor(request)).end("{}");
    }
  });
  const client = clientOf();
  await client.ask(url, get);
  expect((await client.ask(url, get)).status).toBe(200);
  expect(sockets.size).toBe(2);
  const post = client.ask(url, { method: "POST", path: "/who", body: {} });
  await expect(post).rejects.toMatchObject({ code: "peer_unreachable" });
});
