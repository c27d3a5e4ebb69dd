import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import { dialControl } from "../../../cluster/transport/dial.ts";
import { dialRing } from "../../../cluster/transport/dial-ring.ts";
import { RING_PROTOCOL } from "../../../cluster/transport/frame.ts";
import { HEADER } from "../../../cluster/transport/handshake.ts";
import { listen } from "../../../cluster/transport/listener.ts";
import { mintTicket } from "../../../cluster/transport/ticket.ts";
import { Token } from "../../../cluster/transport/token.ts";
import { headersFor, RawClient, RUN_ID, requestOf, statusOf } from "./hostile.ts";
import { openImpostor } from "./impostor.ts";
import { codec, type House, Innocent, openHouse, PATIENT, until } from "./members.ts";

let house: House;
let innocent: Innocent;

beforeAll(async () => {
  house = await openHouse({ limits: PATIENT });
  innocent = await Innocent.join(house);
});

afterAll(async () => {
  await innocent.talk();
  await innocent.leave();
  await house.listener.close();
});

const status = (given: Record<string, string | undefined>, path = "/control"): Promise<number> =>
  statusOf(
    house.listener,
    path,
    headersFor(house.token, given, path === "/ring" ? "ring" : "control"),
  );

test("a good request is let in", async () => {
  expect(await status({})).toBe(101);
});

test("who has no token, a wrong one or one of another run is told 401", async () => {
  const other = Token.create().bearer("trainer").reveal();
  expect(await status({ Authorization: undefined })).toBe(401);
  expect(await status({ Authorization: "Bearer" })).toBe(401);
  expect(await status({ Authorization: `Bearer ${"0".repeat(64)}` })).toBe(401);
  expect(await status({ Authorization: `Basic ${other}` })).toBe(401);
  expect(await status({ Authorization: `Bearer ${other}` })).toBe(401);
  const right = house.token.bearer("trainer").reveal();
  expect(await status({ Authorization: `Bearer ${right.slice(0, 63)}` })).toBe(401);
  expect(await status({ Authorization: `Bearer ${right}0` })).toBe(401);
});

test("the answer to a request that is refused tells nothing but why", async () => {
  const client = new RawClient(house.listener.port);
  client.write(requestOf("/control", headersFor(house.token, { Authorization: "Bearer x" })));
  const text = (await client.rest()).toString();
  expect(text).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/);
  expect(text).toMatch(/\r\n\r\nbad token$/);
  expect(text).not.toContain(HEADER.proof);
});

test("no WebSocket is made for who is refused", async () => {
  const before = house.controls.length;
  expect(await status({ Authorization: undefined })).toBe(401);
  expect(house.controls.length).toBe(before);
});

test("the wrong run, no node id, a browser are told 403", async () => {
  expect(await status({ [HEADER.run]: "f".repeat(32) })).toBe(403);
  expect(await status({ [HEADER.run]: undefined })).toBe(403);
  expect(await status({ [HEADER.node]: undefined })).toBe(403);
  expect(await status({ [HEADER.node]: "two words" })).toBe(403);
  expect(await status({ Origin: "http://127.0.0.1" })).toBe(403);
});

test("other paths are told 404, and nothing is taken from a query", async () => {
  expect(await status({}, "/")).toBe(404);
  expect(await status({}, "/control/")).toBe(404);
  expect(await status({}, `/control?token=${house.token.bearer("trainer").reveal()}`)).toBe(404);
  expect(await status({}, "http://127.0.0.1/control")).toBe(404);
});

test("other versions and plain HTTP are told 426", async () => {
  expect(await status({ "Sec-WebSocket-Version": "8" })).toBe(426);
  expect(await status({ [HEADER.version]: "0" })).toBe(426);
  expect(await status({ Upgrade: undefined, Connection: undefined })).toBe(426);
  expect(await status({ Upgrade: "h2c" })).toBe(426);
  const ticket = { [HEADER.ticket]: house.ticket("mallory") };
  expect(await status({ ...ticket, Upgrade: "websocket" }, "/ring")).toBe(426);
  expect(await status({ Upgrade: RING_PROTOCOL })).toBe(426);
  // without a nonce, the answer would prove nothing
  expect(await status({ ...ticket, [HEADER.nonce]: undefined }, "/ring")).toBe(426);
  expect(await status({ ...ticket, [HEADER.nonce]: "0" }, "/ring")).toBe(426);
  expect(await status(ticket, "/ring")).toBe(101);
});

test("a rollout node opens the control plane, and may not open the ring", async () => {
  const rollout = { Authorization: `Bearer ${house.token.bearer("rollout").reveal()}` };
  expect(await status(rollout)).toBe(101);
  expect(house.controls.at(-1)?.peer.role).toBe("rollout");
  expect(await status(rollout, "/ring")).toBe(403);
  expect(await status({ ...rollout, [HEADER.ticket]: house.ticket("mallory") }, "/ring")).toBe(403);
});

test("a ticket opens the ring once", async () => {
  const ring = (ticket: string | undefined, from = "mallory"): Promise<number> =>
    status({ [HEADER.ticket]: ticket, [HEADER.node]: from }, "/ring");
  const good = house.ticket("mallory");
  expect(await ring(undefined)).toBe(401);
  expect(await ring(good, "member")).toBe(401);
  expect(await ring(good)).toBe(101);
  expect(await ring(good)).toBe(401);
  expect(house.refusals.at(-1)).toBe("401 ticket used before");
  const forged = house.ticket("mallory");
  expect(await ring(forged.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")))).toBe(401);
  expect(house.refusals.at(-1)).toBe("401 bad ticket");
});

test("tickets of other epochs, nodes, lanes, runs and times do not open it", async () => {
  const key = house.token.ticketKey(RUN_ID);
  const grant = { epoch: 1, from: "mallory", to: "house", expires: Date.now() + 60_000 };
  const ring = async (ticket: string): Promise<string> => {
    const answer = await status({ [HEADER.ticket]: ticket }, "/ring");
    expect(house.refusals.at(-1)).toMatch(new RegExp(`^${answer} `));
    return house.refusals.at(-1) ?? "";
  };
  const mint = (given: Partial<typeof grant & { lane: number }>): string =>
    mintTicket(key, RUN_ID, { ...grant, ...given });
  expect(await ring(mint({ epoch: 0 }))).toBe("401 ticket of a past epoch");
  expect(await ring(mint({ epoch: 2 }))).toBe("425 epoch not yet begun");
  expect(await ring(mint({ to: "other" }))).toBe("401 ticket of other nodes");
  expect(await ring(mint({ lane: 1 }))).toBe("401 ticket of other nodes");
  expect(await ring(mint({ expires: Date.now() - 1 }))).toBe("401 ticket expired");
  expect(await ring(mintTicket(key, "f".repeat(32), grant))).toBe("401 bad ticket");
  expect(await ring(mintTicket(Token.create().ticketKey(RUN_ID), RUN_ID, grant))).toBe(
    "401 bad ticket",
  );
});

test("who dials learns by a code why it is not let in, and no error shows a secret", async () => {
  const { listener, token } = house;
  const who = { runId: RUN_ID, nodeId: "member", token, limits: PATIENT };
  const refusal = async (given: object, url = listener.url): Promise<string> => {
    const error: unknown = await dialControl(url, {
      ...{ ...who, ...given },
      codec,
      open: () => ({ message: () => {} }),
    }).catch((error: unknown) => error);
    if (!(error instanceof ClusterError)) throw new Error(`not refused: ${inspect(error)}`);
    const shown = `${inspect(error, { depth: 9 })} ${JSON.stringify(error)} ${error.stack}`;
    for (const role of ["trainer", "rollout"] as const) {
      expect(shown).not.toContain(token.bearer(role).reveal());
    }
    return error.code;
  };
  expect(await refusal({ token: Token.create() })).toBe("peer_unauthorized");
  expect(await refusal({ runId: "f".repeat(32) })).toBe("peer_forbidden");
  expect(await refusal({ peer: "another" })).toBe("peer_invalid");
  expect(await refusal({ nodeId: "not an id" })).toBe("argument_invalid");
  expect(await refusal({ signal: AbortSignal.abort() })).toBe("peer_unreachable");
  expect(await refusal({}, listener.url.replace("//", "//me:secret@"))).toBe("argument_invalid");
  expect(await refusal({}, `${listener.url}/?token=1`)).toBe("argument_invalid");
  expect(await refusal({}, "ws://127.0.0.1:1")).toBe("peer_unreachable");
  const { forRollouts } = token;
  expect(await refusal({ token: forRollouts })).toBe("token_invalid");
  const ring = dialRing(listener.url, {
    ...{ ...who, ticket: "", open: () => ({ chunk: () => {} }) },
  });
  await expect(ring).rejects.toMatchObject({ code: "peer_unauthorized" });
});

test("a rollout node needs no more than the token of rollout nodes", async () => {
  const connection = await dialControl(house.listener.url, {
    runId: RUN_ID,
    nodeId: "player",
    role: "rollout",
    token: house.token.forRollouts,
    limits: PATIENT,
    codec,
    open: () => ({ message: () => {} }),
  });
  expect(connection.peer.nodeId).toBe("house");
  expect(await connection.close()).toMatchObject({ code: 1000, by: "us" });
});

test("a node that does not know the token is not spoken to", async () => {
  const impostor = await openImpostor(undefined);
  const { token } = house;
  const dialled = dialControl(impostor.url, {
    ...{ runId: RUN_ID, nodeId: "member", token, limits: PATIENT, codec },
    open: () => ({ message: () => {} }),
  });
  await expect(dialled).rejects.toMatchObject({ code: "peer_invalid" });
  impostor.close();
});

test("no more are let in than there is room for", async () => {
  const small = await openHouse({ limits: { ...PATIENT, connections: 2 } });
  const clients = await Promise.all(
    ["a", "b"].map((name) =>
      new RawClient(small.listener.port).upgrade(headersFor(small.token, { [HEADER.node]: name })),
    ),
  );
  expect(await statusOf(small.listener, "/control", headersFor(small.token))).toBe(503);
  clients[0]?.destroy();
  await until(() => small.listener.connections.size < 2);
  expect(await statusOf(small.listener, "/control", headersFor(small.token))).toBe(101);
  await small.listener.close();
  await clients[1]?.rest();
});

test("all interfaces are listened on by those only who say so", async () => {
  const open = (host: string, exposeAll = false): Promise<void> =>
    listen({ host, exposeAll, runId: RUN_ID, nodeId: "house", token: Token.create() }).then(
      (listener) => listener.close(),
    );
  for (const host of ["0.0.0.0", "::", "0", "::ffff:0.0.0.0"]) {
    await expect(open(host), host).rejects.toMatchObject({ code: "argument_invalid" });
  }
  await open("0.0.0.0", true);
  await open("localhost");
});

test("a listener needs the token of the run, and a port that is free", async () => {
  const options = { runId: RUN_ID, nodeId: "house" };
  await expect(listen({ ...options, token: Token.create().forRollouts })).rejects.toMatchObject({
    code: "token_invalid",
  });
  await expect(
    listen({ ...options, token: Token.create(), port: house.listener.port }),
  ).rejects.toMatchObject({ code: "listen_failed" });
});

test("a plane that is not served is not there", async () => {
  const token = Token.create();
  const listener = await listen({ runId: RUN_ID, nodeId: "house", token });
  expect(await statusOf(listener, "/control", headersFor(token))).toBe(404);
  expect(await statusOf(listener, "/ring", headersFor(token))).toBe(404);
  await listener.close();
});
