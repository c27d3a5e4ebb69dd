/** Nodes that know nobody's address, and meet at a real server of NATS. */
import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Token } from "../../../cluster/index.ts";
import { allArguments, Gate, hasMembers, until } from "../../support/cluster-processes.ts";
import { type Started, says, startForgeGpu } from "../../support/command.ts";
import { NatsServer, natsServer, natsTitle } from "../../support/nats-server.ts";
import { bitsOf, tinyConfig, useFolder, writeConfig } from "../../support/training-run.ts";

const folder = useFolder("cluster-nats");
const gate = new Gate(folder);
const started: Started[] = [];

beforeEach(() => gate.close());

afterEach(async () => {
  for (const { child } of started) child.kill("SIGKILL");
  await Promise.all(started.splice(0).map(({ done }) => done));
});

/** The only run of a node. */
function runOf(node: string): string {
  const parent = join(folder, node, "nats");
  return join(parent, readdirSync(parent)[0] as string);
}

describe.skipIf(natsServer === undefined)(natsTitle("nodes that meet at NATS"), () => {
  it("train and play through its queues, also when it is killed and comes back", async () => {
    const secret = "4e617473506173734f664f757273";
    await using server = await NatsServer.start({
      config: `authorization { token: ${JSON.stringify(secret)} }`,
    });
    const config = writeConfig(
      folder,
      tinyConfig({
        ...{ name: "nats", environment: gate.environment, train: { steps: 8 } },
        ...{ eval: { every: 0 }, checkpoint: { every: 0 } },
        rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16 },
      }),
    );
    const [file, credentials] = [join(folder, "token"), join(folder, "credentials")];
    const token = Token.create();
    await token.write(file);
    await writeFile(credentials, `${secret}\n`, { mode: 0o600 });
    const node = (id: string): Started => {
      const process = startForgeGpu([
        ...["node", config, "--node-id", id, "--state-dir", join(folder, id)],
        ...["--token-file", file, "--run-id", "demo", "--rdzv", server.url],
        ...["--nats-creds", credentials],
      ]);
      started.push(process);
      return process;
    };
    const a = node("a");
    let said = "";
    a.child.stderr?.on("data", (part: Buffer) => {
      said += part;
    });
    const address = await until(() => /listens at (ws:\S+)/.exec(said)?.[1]);
    const [runId] = /[0-9a-f]{32}/.exec(said) as unknown as [string];
    const b = node("b");
    // which of the two has begun is the server's to say
    await hasMembers({ address, runId, token }, 2);
    expect(allArguments()).not.toContain(secret);
    gate.open();
    await says(a, "step 2 of");
    await server.kill();
    await server.start();
    const outcomes = await Promise.all([a.done, b.done]);
    for (const { code, stderr } of outcomes) expect(code, stderr).toBe(0);
    const bits = ["a", "b"].map((id) => bitsOf(runOf(id)).files);
    for (const name of ["policy.safetensors", "optimizer.safetensors"]) {
      expect(bits[0]?.[name]).toMatch(/^[0-9a-f]{64}$/);
      expect(bits[1]?.[name]).toBe(bits[0]?.[name]);
    }
    expect(outcomes.map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain(secret);
  });
});
