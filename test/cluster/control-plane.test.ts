import { expect, test } from "vitest";
import { ControlPlane } from "../../cluster/control-plane/control-plane.ts";
import type { MembershipMessage } from "../../cluster/membership/message.ts";
import { membershipSchema } from "../../cluster/membership/message-schema.ts";
import { controlCodec } from "../../cluster/protocol/control-message.ts";
import { CLOSE } from "../../cluster/transport/close-code.ts";
import { dialControl } from "../../cluster/transport/dial.ts";
import { DEFAULT_LIMITS } from "../../cluster/transport/limits.ts";
import { NodeClient } from "../../cluster/transport/node-client.ts";
import { Token } from "../../cluster/transport/token.ts";
import { headersFor, RawClient, RUN_ID, requestOf, textFrame } from "./transport/hostile.ts";
import { until } from "./transport/members.ts";

const codec = controlCodec(membershipSchema, DEFAULT_LIMITS.controlBytes);
const token = Token.create();

const REDIRECT: MembershipMessage = {
  type: "redirect",
  leader: "a",
  addresses: { control: "", rings: [""] },
};

async function openPlane(heard: string[]): Promise<ControlPlane> {
  return ControlPlane.open(
    {
      ...{ runId: RUN_ID, nodeId: "a", token },
      routes: [
        {
          ...{ method: "GET", path: "/status", roles: ["trainer", "rollout"] },
          answer: async ({ role }) => ({ status: 200, body: { role } }),
        },
      ],
    },
    {
      message: (from) => void heard.push(from),
      lost: (node) => void heard.push(`lost ${node}`),
    },
  );
}

test("a rollout node has no say in who is a member, and is answered plain requests", async () => {
  const heard: string[] = [];
  await using plane = await openPlane(heard);
  const { url } = plane.listener;
  const dial = (nodeId: string, role: "trainer" | "rollout") =>
    dialControl(url, {
      ...{ runId: RUN_ID, nodeId, role, token: role === "rollout" ? token.forRollouts : token },
      ...{ codec, open: () => ({ message: () => {} }) },
    });
  const player = await dial("player", "rollout");
  player.send(REDIRECT);
  expect(await player.closed).toMatchObject({ code: CLOSE.policy, reason: "trainers only" });
  const trainer = await dial("trainer", "trainer");
  trainer.send(REDIRECT);
  await until(() => heard.length > 0);
  expect(heard).toEqual(["trainer"]);
  using client = new NodeClient({ runId: RUN_ID, nodeId: "player", role: "rollout", token });
  const answer = await client.ask(url, { method: "GET", path: "/status" });
  expect(answer.json()).toEqual({ role: "rollout" });
  plane.send("player", undefined, REDIRECT);
  await trainer.close();
  await until(() => heard.length > 1);
  // who was never in cannot be lost
  expect(heard).toEqual(["trainer", "lost trainer"]);
});

test("a rollout node that clings is heard no more than one that goes", async () => {
  const heard: string[] = [];
  await using plane = await openPlane(heard);
  const client = new RawClient(plane.listener.port, { clings: true });
  const rollout = { Authorization: `Bearer ${token.bearer("rollout").reveal()}` };
  client.write(requestOf("/control", headersFor(token, rollout)));
  await client.until((received) => received.includes("\r\n\r\n"));
  client.write(Buffer.concat(Array.from({ length: 50 }, () => textFrame(REDIRECT))));
  await until(() => plane.listener.connections.size === 0);
  expect(heard).toEqual([]);
  client.destroy();
});
