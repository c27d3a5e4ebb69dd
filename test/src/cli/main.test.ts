import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const repository = resolve(import.meta.dirname, "../../..");

function forgeGpu(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const main = ["--import", "tsx", "src/cli/main.ts", ...args];
  const done = spawnSync(process.execPath, main, { cwd: repository, encoding: "utf8" });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

describe("forge-gpu", () => {
  it("prints its version", () => {
    const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
    expect(forgeGpu("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });
  it("prints its help", () => {
    const { code, stdout } = forgeGpu("--help");
    expect(code).toBe(0);
    expect(stdout).toContain("doctor");
  });
  it.each([
    { args: ["doctr"], hint: "Did you mean doctor?" },
    { args: ["--versoin"], hint: "Did you mean --version?" },
    { args: ["doctor", "--jsn"], hint: "Did you mean --json?" },
    { args: ["doctor", "extra"], hint: "too many arguments" },
    { args: [], hint: "Usage: forge-gpu" },
  ])("exits with 2 and a hint on wrong usage: $args", ({ args, hint }) => {
    const { code, stdout, stderr } = forgeGpu(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(hint);
  });
});
