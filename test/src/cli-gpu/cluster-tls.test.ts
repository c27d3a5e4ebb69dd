/** Nodes that know each other by certificates, and those that they do not let in. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Token } from "../../../cluster/index.ts";
import { Certificates, hasOpenssl } from "../../support/certificates.ts";
import { doorSaid, hasMembers, until, useGate } from "../../support/cluster-processes.ts";
import { listenTo, type Started, useForgeGpu } from "../../support/command.ts";
import {
  bitsOf,
  onlyRun,
  stepsOf,
  tinyConfig,
  useFolder,
  writeConfig,
} from "../../support/training-run.ts";

const folder = useFolder("cluster-tls");
const gate = useGate(folder);
const start = useForgeGpu();

describe.skipIf(!hasOpenssl)(
  `nodes with certificates${hasOpenssl ? "" : " (skipped: there is no openssl)"}`,
  () => {
    it("train and play; other certificates, other names and none are refused", async () => {
      using certificates = new Certificates();
      for (const ca of ["ca", "other-ca"]) certificates.authority(ca);
      for (const node of ["a", "b", "player"]) certificates.sign(node, `DNS:${node},IP:127.0.0.1`);
      certificates.sign("outsider", "DNS:outsider,IP:127.0.0.1", "other-ca");
      const config = writeConfig(
        folder,
        tinyConfig({
          ...{ name: "tls", environment: gate.environment, train: { steps: 10 } },
          ...{ eval: { every: 0 }, checkpoint: { every: 0 } },
          rollout: { groupSize: 4, groupsPerStep: 4, slots: 4, batch: 16 },
        }),
      );
      const token = Token.create();
      const files = { run: join(folder, "token"), rollout: join(folder, "rollout-token") };
      await token.write(files.run);
      await writeFile(files.rollout, `${token.forRollouts.reveal()}\n`, { mode: 0o600 });
      const node = (id: string, by: string, ...args: readonly string[]): Started => {
        const { key, cert, ca } = certificates.filesOf(by);
        return start(
          ...["node", config, "--node-id", id, "--run-id", "demo", "--join-timeout", "2s"],
          ...["--tls-key", key, "--tls-cert", cert, "--tls-ca", ca],
          ...["--state-dir", join(folder, id), ...args],
        );
      };
      const trainer = ["--token-file", files.run];
      const a = node("a", "a", ...trainer);
      const { address, runId } = await doorSaid(a);
      const at = ["--rdzv", address];
      const b = node("b", "b", ...trainer, ...at);
      const tls = certificates.filesOf("b");
      await hasMembers({ address, runId, token, tls, nodeId: "b" }, 2);
      const player = node(
        "player",
        "player",
        "--role",
        "rollout",
        "--token-file",
        files.rollout,
        ...at,
      );
      const hears = listenTo(player);
      await until(() => (hears().includes("plays") ? true : undefined));
      const refused = {
        "signed by another": node("outsider", "outsider", ...trainer, ...at),
        "of another node": node("mallory", "b", ...trainer, ...at),
        "with a rollout node's token": node("b2", "b", "--token-file", files.rollout, ...at),
        "in the clear": start(
          ...["node", config, "--node-id", "c", "--run-id", "demo", "--join-timeout", "2s"],
          ...[...trainer, "--rdzv", address.replace("wss:", "ws:")],
        ),
      };
      const codes: Record<string, unknown> = {};
      for (const [name, { done }] of Object.entries(refused)) {
        const { code, stderr } = await done;
        codes[name] = [code, /\[([a-z_]+)\]/.exec(stderr)?.[1]];
      }
      expect(codes).toEqual({
        "signed by another": [75, "peer_unreachable"],
        "of another node": [78, "peer_forbidden"],
        "with a rollout node's token": [78, "token_invalid"],
        "in the clear": [75, "peer_unreachable"],
      });
      gate.open();
      const outcomes = await Promise.all([a, b, player].map(({ done }) => done));
      for (const { code, stderr } of outcomes) expect(code, stderr).toBe(0);
      expect(hears()).toMatch(/weights of step \d+/);
      const runs = ["a", "b"].map((id) => onlyRun(join(folder, id), "tls"));
      for (const run of runs) expect(stepsOf(run)).toEqual(["step-000010"]);
      const bits = runs.map((run) => bitsOf(run).files);
      for (const name of ["policy.safetensors", "optimizer.safetensors"])
        expect(bits[1]?.[name]).toBe(bits[0]?.[name]);
      const secret = token.reveal();
      expect(outcomes.map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain(secret);
    });
  },
);
