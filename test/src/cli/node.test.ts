import { join } from "node:path";
import { Command, type CommanderError } from "commander";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterError } from "../../../cluster/index.ts";
import { nodeCommand } from "../../../src/cli/node.ts";
import { SETTING_NAMES } from "../../../src/cli/node-settings.ts";
import type { RunClusterNode } from "../../../src/cli/noding.ts";

const CONFIG = join(
  import.meta.dirname,
  "../../../examples/calculator-agent/calculator-agent.yaml",
);
const ARGUMENTS = ["--token-file", "/a/token", "--run-id", "r"];

interface Said {
  readonly code: number | string | undefined;
  readonly out: string;
  readonly log: string;
}

/** Runs the command in this process; by default its node has nothing to do. */
async function node(args: readonly string[], run: RunClusterNode = async () => {}): Promise<Said> {
  let [out, log] = ["", ""];
  const toOut = (text: unknown): boolean => {
    out += String(text);
    return true;
  };
  const toLog = (text: unknown): boolean => {
    log += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation(toOut),
    vi.spyOn(process.stderr, "write").mockImplementation(toLog),
  ];
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    const program = new Command("forge-gpu").showSuggestionAfterError().exitOverride();
    const command = nodeCommand(run);
    command.copyInheritedSettings(program);
    command.configureOutput({ writeOut: toOut, writeErr: toLog });
    await command.parseAsync([...args], { from: "user" });
    return { code: process.exitCode, out, log };
  } catch (error) {
    return { code: (error as CommanderError).code, out, log };
  } finally {
    process.exitCode = before;
    for (const spy of spies) spy.mockRestore();
  }
}

const LAUNCHER = /^(FORGE|SLURM|SLURMD|PET|TORCHELASTIC|JOBSET|JOB|MASTER)_|^(RANK|WORLD_SIZE)$/;

describe("forge-gpu node", () => {
  beforeEach(() => {
    for (const name of Object.keys(process.env)) {
      if (LAUNCHER.test(name)) vi.stubEnv(name, undefined);
    }
  });
  afterEach(() => vi.unstubAllEnvs());

  it("prints each setting and where it is from", async () => {
    vi.stubEnv("FORGE_WIRE", "bf16");
    const { out, code } = await node([...ARGUMENTS, "--print-settings", "--sync", "diloco:50"]);
    expect(code).toBeUndefined();
    expect(out).toMatch(/^wire +bf16 +FORGE_WIRE$/m);
    expect(out).toMatch(/^sync +diloco:50 +--sync$/m);
    expect(out).toMatch(/^world +1:1024 +default$/m);
    expect(out).toMatch(/^listen +127\.0\.0\.1:0 +default$/m);
    expect(out).toMatch(/^heartbeat +500ms +default$/m);
    expect(out).toMatch(/^contacts +- +default$/m);
    expect(out).toMatch(/^tokenFile +\/a\/token +--token-file$/m);
  });

  it("prints them as one JSON document", async () => {
    const { out, log } = await node([...ARGUMENTS, "--print-settings", "--json"]);
    const document = JSON.parse(out);
    expect(document).toMatchObject({
      world: { value: { min: 1, max: 1024 }, source: "default" },
      heartbeat: { value: 500, source: "default" },
      advertise: { value: null, source: "default" },
      runId: { source: "--run-id" },
      warnings: [],
    });
    expect(log).toBe("");
  });

  it("has a flag for each setting, and says its default and unit", async () => {
    const { out, code } = await node(["--help"]);
    expect(code).toBe("commander.helpDisplayed");
    for (const name of SETTING_NAMES) {
      expect(out).toContain(`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
    }
    expect(out).not.toContain("--token <");
    expect(out.replace(/\s+/g, " ")).toContain(
      "as in 500ms; three missed are a death (default: 500ms)",
    );
  });

  it("runs the node with the settings and the configuration", async () => {
    const seen: unknown[] = [];
    const { code } = await node(
      [CONFIG, ...ARGUMENTS, "--world", "2:4", "--set", "train.steps=30"],
      async (settings, loaded) => {
        seen.push(settings.world.value, loaded.config.train.steps);
      },
    );
    expect(seen).toEqual([{ min: 2, max: 4 }, 30]);
    expect(code).toBeUndefined();
  });

  it("tells the launcher whether to start it again", async () => {
    const failing = (error: unknown): Promise<Said> =>
      node([CONFIG, ...ARGUMENTS], () => Promise.reject(error));
    const gone = await failing(new ClusterError({ code: "peer_unreachable", what: "nobody." }));
    expect(gone.code).toBe(75);
    expect(gone.log).toContain("[peer_unreachable] nobody.");
    expect((await failing(new Error("boom"))).code).toBe(1);
    expect((await node([...ARGUMENTS, "--world", "x"])).code).toBe(78);
    expect((await node(["nowhere.yaml", ...ARGUMENTS])).code).toBe(78);
  });

  it("warns on stderr", async () => {
    vi.stubEnv("FORGE_WROLD", "2");
    const { log } = await node([CONFIG, ...ARGUMENTS]);
    expect(log).toContain("FORGE_WORLD");
  });

  it("takes no token, and shows none that it gets", async () => {
    const token = "0123456789abcdef".repeat(4);
    const { code, out, log } = await node(["--token", token, "--print-settings"]);
    expect(code).toBe(78);
    expect(log).toContain("--token-file");
    expect(out + log).not.toContain("0123456789abcdef");
  });

  it("suggests the flag that was meant", async () => {
    const { code, log } = await node(["--wolrd", "2"]);
    expect(code).toBe("commander.unknownOption");
    expect(log).toContain("--world");
  });
});
