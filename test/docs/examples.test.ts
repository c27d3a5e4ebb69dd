import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const scratch = mkdtempSync(join(tmpdir(), "forge-gpu-examples-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs an example as README.md says; a failure shows what it printed. */
function run(name: string, ...args: string[]): { code: number | null; out: string; log: string } {
  const path = join("examples", name);
  const done = spawnSync(process.execPath, ["--import", "tsx", path, ...args], {
    cwd: root,
    encoding: "utf8",
  });
  return { code: done.status, out: done.stdout, log: done.stderr.replace(/^ +at .*\n/gm, "") };
}

function succeed(name: string, ...args: string[]): string {
  const { code, out, log } = run(name, ...args);
  expect(code, `${out}\n${log}`).toBe(0);
  return out;
}

describe("examples/01-matmul.ts", () => {
  it("prints the adapter, a product, its gradient, and a speed that it has checked", () => {
    const out = succeed("01-matmul.ts");
    expect(out).toMatch(/^adapter +\S+/);
    expect(out).toContain("[4,5,10,11]");
    expect(out).toContain("[8,10,18,20,22,42]");
    expect(Number(/([\d.]+) GFLOP\/s/.exec(out)?.[1])).toBeGreaterThan(0);
    expect(Number(/^error +(\S+)/m.exec(out)?.[1])).toBeLessThan(1e-3);
  });
});

describe("examples/02-char-transformer.ts", () => {
  const losses = (out: string): number[] => {
    const line = /loss +([\d.]+) nats a character in training, ([\d.]+) on the text held out/;
    return (line.exec(out) ?? []).slice(1).map(Number);
  };

  it("learns from the repository's documentation and writes, the same with the same seed", () => {
    const [first, second] = [0, 1].map(() =>
      succeed("02-char-transformer.ts", "--steps", "15", "--seed", "3"),
    ) as [string, string];
    const [training, heldOut] = losses(first);
    expect(training).toBeLessThan(4.2); // ln of the alphabet is about 4.5
    expect(heldOut).toBeLessThan(4.2);
    const sample = first.slice(first.indexOf("\nsample"));
    expect(sample.length).toBeGreaterThan(400);
    expect(second.slice(second.indexOf("\nsample"))).toBe(sample);
    expect(losses(second)).toEqual(losses(first));
  });

  it("learns from any file", () => {
    const file = join(scratch, "abc.txt");
    writeFileSync(file, "abc".repeat(2000));
    const out = succeed("02-char-transformer.ts", "--file", file, "--steps", "30");
    expect(losses(out)[1]).toBeLessThan(0.5); // ln 3 = 1.1
    expect(out).toContain("abcabcabc");
  });

  it("says how it is used", () => {
    expect(succeed("02-char-transformer.ts", "--help")).toContain("--steps <n>");
    const { code, log } = run("02-char-transformer.ts", "--steps", "many");
    expect(code).toBe(2);
    expect(log).toContain("--steps takes a whole number");
  });
});

describe("examples/03-generate.ts", () => {
  it("knows the rhyme after training, not before, and agrees with itself", () => {
    const out = succeed("03-generate.ts");
    const [before = "", after = ""] = out.split("steps in");
    const greedy = (part: string): string => JSON.parse(/^greedy +(".*")$/m.exec(part)?.[1] ?? "");
    expect(greedy(before)).not.toContain("twinkle");
    expect(greedy(after)).toMatch(
      /^, twinkle, little star,\n.*\nTwinkle, twinkle, all the night\.$/s,
    );
    const nats = [...out.matchAll(/^rhyme +([\d.]+) nats/gm)].map(([, x]) => Number(x));
    expect(nats[0]).toBeGreaterThan(5); // ln 257 = 5.5
    expect(nats[1]).toBeLessThan(0.1);
    const apart = [...out.matchAll(/^agreed +to (\S+)/gm)].map(([, x]) => Number(x));
    expect(apart).toHaveLength(2);
    expect(Math.max(...apart)).toBeLessThan(1e-5);
  });

  it("says how it is used", () => {
    expect(succeed("03-generate.ts", "--help")).toContain("--steps <n>");
    expect(run("03-generate.ts", "--steps", "many").code).toBe(2);
  });
});
