import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NatsLink, type NatsOptions } from "../../../../src/train/cluster/nats/connection.ts";
import { NatsServer, natsServer, natsTitle } from "../../../support/nats-server.ts";

const TOKEN = "a-token-that-nobody-shows";
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "nats-credentials-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

function open(server: NatsServer, options: Partial<NatsOptions> = {}): Promise<NatsLink> {
  return NatsLink.open({ servers: [server.url], name: "test", patience: 0, ...options });
}

describe.skipIf(natsServer === undefined)(natsTitle("NatsLink"), () => {
  it("shows the token of a file, and nobody else", async () => {
    await using server = await NatsServer.start({ config: `authorization { token: "${TOKEN}" }` });
    await using link = await open(server, { credentials: await file("right", `${TOKEN}\n`) });
    await link.ask(() => link.manager.getAccountInfo());
    const wrong = await file("wrong", "another-token");
    const refused = open(server, { credentials: wrong });
    await expect(refused).rejects.toMatchObject({ code: "nats_unauthorized" });
    await expect(refused).rejects.not.toThrow(/another-token/);
    await expect(open(server)).rejects.toMatchObject({ code: "nats_unauthorized" });
  });

  it("refuses files without credentials, and never shows them", async () => {
    await using server = await NatsServer.start();
    const prose = open(server, { credentials: await file("prose", "two words") });
    await expect(prose).rejects.toMatchObject({ code: "config_invalid" });
    await expect(prose).rejects.not.toThrow(/two words/);
    const missing = open(server, { credentials: join(folder, "missing") });
    await expect(missing).rejects.toMatchObject({ code: "config_invalid" });
  });

  it("refuses a server without JetStream", async () => {
    await using server = await NatsServer.start({ hasJetStream: false });
    await expect(open(server)).rejects.toMatchObject({ code: "nats_refused" });
  });

  it("waits for a server that is not there yet, and no longer than it was told to", async () => {
    await using server = await NatsServer.start();
    await server.kill();
    await expect(open(server)).rejects.toMatchObject({ code: "nats_unreachable" });
    const opening = open(server, { patience: 60_000 });
    await server.start();
    await using link = await opening;
    expect(link.maxPayload).toBe(2 ** 20);
  });

  it("finds back to a server that was away", async () => {
    await using server = await NatsServer.start();
    await using link = await open(server);
    await server.kill();
    const asked = link.ask(() => link.manager.getAccountInfo());
    await expect(asked).rejects.toMatchObject({ code: "nats_unreachable" });
    await server.start();
    for (let isBack = false; !isBack; ) {
      isBack = await link
        .ask(() => link.manager.getAccountInfo())
        .then(
          () => true,
          () => false,
        );
    }
  });

  it("ends, and says why, when its credentials are good no more", async () => {
    const config = `authorization { token: "${TOKEN}" }`;
    await using server = await NatsServer.start({ config });
    await using link = await open(server, { credentials: await file("token", TOKEN) });
    await server.kill();
    server.configure(`authorization { token: "changed" }`);
    await server.start();
    await link.connection.closed();
    const asked = link.ask(() => link.manager.getAccountInfo());
    await expect(asked).rejects.toMatchObject({ code: "nats_unauthorized" });
    expect(() => link.check()).toThrow(/nats_unauthorized/);
  });
});
