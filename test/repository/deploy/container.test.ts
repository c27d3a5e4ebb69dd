import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { Token } from "../../../cluster/transport/token.ts";

const root = resolve(import.meta.dirname, "../../..");
const instructions = readFileSync(join(root, "deploy/Containerfile"), "utf8")
  .replace(/^#.*\n/gm, "")
  .replace(/\\\n/g, " ")
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => line.trim().split(/\s+/));
const named = (instruction: string): string[][] =>
  instructions.filter(([word]) => word === instruction).map(([, ...words]) => words);

describe("deploy/Containerfile", () => {
  it("copies what is there, and all that the build reads", () => {
    const copied = named("COPY")
      .filter(([first]) => !first?.startsWith("--from"))
      .flatMap((words) => words.slice(0, -1));
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const build = readFileSync(join(root, "src/setup/build.mjs"), "utf8");
    const [, sources = ""] = /const SOURCES = \[([^\]]*)\]/.exec(build) ?? [];
    const [, configuration = ""] = /const CONFIGURATION = \[([^\]]*)\]/.exec(build) ?? [];
    const read = [...`${sources},${configuration}`.matchAll(/"([^"]+)"/g)].map(([, name]) => name);
    expect(read.length).toBeGreaterThan(6);
    expect(read.filter((name) => !copied.includes(String(name)))).toEqual([]);
  });

  it("ends as a user that is not root, and starts the package's command", () => {
    expect(named("USER").at(-1)).toEqual(["10001:10001"]);
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(Object.keys(manifest.bin)).toContain(JSON.parse(named("ENTRYPOINT")[0]?.[0] ?? "[]")[0]);
    expect(named("ENTRYPOINT")).toHaveLength(1);
  });

  it("takes no secrets", () => {
    expect(named("ARG")).toEqual([]);
    expect(JSON.stringify(named("ENV"))).not.toMatch(/token|secret|password/i);
  });
});

describe("deploy/rollout-token.mjs", () => {
  const derive = (input: string): { status: number | null; stdout: string } =>
    spawnSync(process.execPath, [join(root, "deploy/rollout-token.mjs")], {
      input,
      encoding: "utf8",
    });

  it("derives what the run itself would give its rollout nodes", async () => {
    const token = Token.create();
    const [own, rollouts] = ["own", "rollouts"].map((name) =>
      join(tmpdir(), `forge-gpu-${process.pid}-${name}`),
    ) as [string, string];
    try {
      await token.write(own);
      await token.forRollouts.write(rollouts);
      expect(derive(readFileSync(own, "utf8"))).toMatchObject({
        status: 0,
        stdout: readFileSync(rollouts, "utf8"),
      });
    } finally {
      for (const file of [own, rollouts]) rmSync(file, { force: true });
    }
  });

  it("refuses what is no token", () => expect(derive("rollout:ab").status).toBe(78));
});
