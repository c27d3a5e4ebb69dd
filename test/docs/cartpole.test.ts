import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** Runs an example of examples/cartpole as its README.md says. */
function run(name: string, ...args: string[]): { code: number | null; out: string } {
  const path = join("examples/cartpole", name);
  const done = spawnSync(process.execPath, ["--import", "tsx", path, ...args], {
    cwd: root,
    encoding: "utf8",
  });
  return { code: done.status, out: `${done.stdout}${done.stderr}`.replace(/^ +at .*\n/gm, "") };
}

describe("examples/cartpole", () => {
  it("trains and evaluates alike with the library and in a single file", () => {
    const runs = [
      run("cartpole.ts", "--steps", "2048", "--seed", "2", "--evaluations", "1"),
      run("cartpole-single-file.ts", "--steps", "2048", "--seed", "2"),
    ];
    const results = runs.map(({ code, out }) => {
      expect(code, out).toBe(0);
      expect(out).toMatch(/^adapter +\S+/m);
      expect(out).toMatch(/^training +2048 steps {2}return +\d+ {2}value loss \d+\.\d+ {2}/m);
      return /^evaluation .*(mean return .* over 100 episodes, \d+ at least)/m.exec(out)?.[1];
    });
    expect(results[0]).toBeDefined();
    expect(results[1]).toBe(results[0]);
  });

  it.each(["cartpole.ts", "cartpole-single-file.ts"])("%s says how it is used", (name) => {
    const help = run(name, "--help");
    expect(help.code, help.out).toBe(0);
    expect(help.out).toContain("--seed <n>");
    expect(run(name, "--steps", "255")).toMatchObject({ code: 2 });
  });
});
