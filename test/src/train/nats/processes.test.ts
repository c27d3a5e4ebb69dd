import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { namesOf } from "../../../../src/train/cluster/nats/streams.ts";
import { NatsServer, natsServer, natsTitle, until } from "../../../support/nats-server.ts";
import { NatsWorld, RUN, WINDOW } from "../../../support/nats-world.ts";

const TSX = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
const CHILD = join(import.meta.dirname, "player-child.ts");
const GROUPS = 200;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A player, and the groups whose result the server has told it that it has. */
function player(url: string, name: string): { child: ChildProcess; given: number[] } {
  const child = spawn(process.execPath, ["--import", TSX, CHILD, url, name], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const given: number[] = [];
  if (child.stdout) createInterface(child.stdout).on("line", (line) => given.push(Number(line)));
  return { child, given };
}

describe.skipIf(natsServer === undefined)(natsTitle("players in processes"), () => {
  it("bring 200 groups once each, though one and the server are killed", async () => {
    await using server = await NatsServer.start();
    await using world = await NatsWorld.open(server.url);
    const players = ["one", "two", "three"].map((name) => player(server.url, name));
    const [victim] = players;
    await until("all are there", () => world.board.stats.capacity === 12);
    const used: number[] = [];
    while (used.length < GROUPS) {
      if (used.length === 60) victim?.child.kill("SIGKILL");
      if (used.length === 120) {
        await server.kill();
        await server.start();
      }
      used.push(...(await world.collect()));
      world.commit();
    }
    expect(new Set(used).size).toBe(GROUPS);
    // a step may take a group before an older one, within the window
    const older = Array.from({ length: GROUPS - WINDOW }, (_, i) => i);
    expect(older.filter((groupId) => !used.includes(groupId))).toEqual([]);
    expect([...world.finished.values()].filter((times) => times !== 1)).toEqual([]);
    expect(players.every(({ given }) => given.length > 0)).toBe(true);
    // what the server has said that it has is not lost, used or not
    await until("all that was stored has come", () =>
      players.every(({ given }) => given.every((groupId) => world.finished.has(groupId))),
    );
    for (const { child } of players) child.kill("SIGKILL");
    // what is left are results that no step has used
    await until("the used ones are gone", async () => {
      const { manager } = world.link;
      const { stream, consumer } = namesOf(RUN).results;
      const { num_pending, num_ack_pending } = await manager.consumers.info(stream, consumer);
      return num_pending + num_ack_pending <= 16;
    });
  });
});
