/** What a node whose control plane has a thread of its own answers to plain requests, and how it fails to open. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { Cluster, NodeClient, type Route, Token } from "../../cluster/index.ts";
import { until, WaitingRoom } from "./transport/members.ts";

const MIB = 2 ** 20;
const who = { runId: "0f".repeat(16), token: Token.create() };
const faults: [message: string, path: string][] = [];
/** Part of a larger buffer, which stays where it is. */
const large = Uint8Array.from({ length: 9 * MIB }, (_, i) => i % 251).subarray(MIB, 6 * MIB + 1);
const waitingRoom = new WaitingRoom();

const routes: readonly Route[] = [
  {
    ...{ method: "POST", path: "/echo/", roles: ["trainer"], bodyBytes: MIB },
    answer: async ({ body, ...request }) => ({
      ...{ status: 201, body, headers: { "x-asked": JSON.stringify(request) } },
    }),
  },
  {
    ...{ method: "GET", path: "/json", roles: ["trainer", "rollout"] },
    answer: async ({ role }) => ({ status: 200, body: { role, nothing: undefined } }),
  },
  {
    ...{ method: "GET", path: "/large", roles: ["trainer"] },
    answer: async () => ({ status: 200, body: large }),
  },
  {
    ...{ method: "GET", path: "/fault", roles: ["trainer"] },
    answer: () => Promise.reject(new Error("the secret is 42")),
  },
  waitingRoom.route,
];

let cluster: Cluster;
let client: NodeClient;

beforeAll(async () => {
  cluster = await Cluster.open({
    ...{ ...who, nodeId: "a", routes, controlThread: true },
    onFault: (error, { path }) => faults.push([(error as Error).message, path]),
  });
  client = new NodeClient({ ...who, nodeId: "b" });
});

afterAll(async () => {
  client[Symbol.dispose]();
  await cluster[Symbol.asyncDispose]();
});

it("answers on the main thread, with what was asked", async () => {
  // as a view of a shared pool, of which nothing else is told
  const body = Buffer.from("a small body");
  const { status, headers, ...answer } = await client.ask(cluster.address, {
    ...{ method: "POST", path: "/echo/one", body, range: { from: 1, to: 4 } },
  });
  expect(status).toBe(201);
  expect(Buffer.from(answer.body)).toEqual(body);
  expect(JSON.parse(String(headers["x-asked"]))).toEqual({
    ...{ role: "trainer", nodeId: "b", segment: "one", range: "bytes=1-3", signal: {} },
  });
});

it("sends large answers whole, and takes nothing from whoever has them", async () => {
  for (let times = 0; times < 2; times++) {
    const answer = await client.ask(cluster.address, {
      ...{ method: "GET", path: "/large", mostBytes: 8 * MIB },
    });
    expect(Buffer.from(answer.body).equals(large)).toBe(true);
  }
  expect(large.length).toBe(5 * MIB + 1);
});

it("keeps roles apart, and says what is JSON", async () => {
  using rollout = new NodeClient({
    ...{ ...who, token: who.token.forRollouts, nodeId: "c", role: "rollout" },
  });
  const answer = await rollout.ask(cluster.address, { method: "GET", path: "/json" });
  expect(answer.json()).toEqual({ role: "rollout" });
  await expect(
    rollout.ask(cluster.address, { method: "GET", path: "/large" }),
  ).rejects.toMatchObject({ code: "peer_forbidden" });
});

it("answers a fault with a 500 that does not say what, and tells its owner", async () => {
  const { status, body } = await client.ask(cluster.address, { method: "GET", path: "/fault" });
  expect([status, body.length]).toEqual([500, 0]);
  expect(faults).toEqual([["the secret is 42", "/fault"]]);
});

it("tells a route that whoever has asked is gone", async () => {
  const giveUp = new AbortController();
  const asked = client.ask(cluster.address, {
    ...{ method: "GET", path: "/wait", signal: giveUp.signal },
  });
  await until(() => waitingRoom.guests === 1);
  giveUp.abort();
  await expect(asked).rejects.toMatchObject({ code: "peer_unreachable" });
  await until(() => waitingRoom.guests === 0);
});

it("fails as any door does where it cannot listen", async () => {
  const port = Number(new URL(cluster.address).port);
  await expect(
    Cluster.open({ ...who, nodeId: "d", port, controlThread: true }),
  ).rejects.toMatchObject({ code: "listen_failed" });
});
