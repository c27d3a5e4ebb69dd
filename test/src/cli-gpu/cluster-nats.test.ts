/** Nodes that know nobody's address, and meet at a real server of NATS. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Token } from "../../../cluster/index.ts";
import { allArguments, doorSaid, hasMembers, useGate } from "../../support/cluster-processes.ts";
import { type Started, says, useForgeGpu } from "../../support/command.ts";
import { NatsServer, natsServer, natsTitle } from "../../support/nats-server.ts";
import { bitsOf, onlyRun, tinyConfig, useFolder, writeConfig } from "../../support/training-run.ts";

const folder = useFolder("cluster-nats");
const gate = useGate(folder);
const start = useForgeGpu();

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
    const node = (id: string): Started =>
      start(
        ...["node", config, "--node-id", id, "--state-dir", join(folder, id)],
        ...["--token-file", file, "--run-id", "demo", "--rdzv", server.url],
        ...["--nats-creds", credentials],
      );
    const a = node("a");
    const { address, runId } = await doorSaid(a);
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
    const bits = ["a", "b"].map((id) => bitsOf(onlyRun(join(folder, id), "nats")).files);
    for (const name of ["policy.safetensors", "optimizer.safetensors"]) {
      expect(bits[0]?.[name]).toMatch(/^[0-9a-f]{64}$/);
      expect(bits[1]?.[name]).toBe(bits[0]?.[name]);
    }
    expect(outcomes.map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain(secret);
  });
});
