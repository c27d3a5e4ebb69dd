import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { checkAttention } from "../../../src/bench/attention-check.ts";
import { checkTraining, GOLDEN } from "../../../src/bench/decoder-data.ts";
import { checkProduct, matmulOperands } from "../../../src/bench/matmul.ts";
import { contender, measure, summarize } from "../../../src/bench/measure.ts";
import { duration, isMet, table } from "../../../src/bench/report.ts";

const repository = resolve(import.meta.dirname, "../../..");

function bench(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const main = ["--import", "tsx", "src/cli/main.ts", "bench", ...args];
  const done = spawnSync(process.execPath, main, { cwd: repository, encoding: "utf8" });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

describe("forge-gpu bench", () => {
  it("prints one JSON document with --json", () => {
    const { code, stdout } = bench("dispatch", "--rounds", "1", "--json");
    expect(code).toBe(0);
    const { machine, sections } = JSON.parse(stdout);
    expect(machine).toMatchObject({ node: process.version, isSoftware: expect.any(Boolean) });
    expect(sections).toHaveLength(1);
    expect(sections[0].rows[0]).toMatchObject({ task: "JavaScript", blocks: 1 });
  });
  it.each([
    {
      args: ["matmull"],
      hint: "Allowed choices are matmul, attention, train, tree, rollout, dispatch",
    },
    { args: ["--rounds", "0"], hint: "whole number from 1" },
  ])("exits with 2 and a hint on wrong usage: $args", ({ args, hint }) => {
    const { code, stdout, stderr } = bench(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(hint);
  });
});

describe("measure", () => {
  it("runs contenders in turns, after a warm-up, and sums their blocks up", async () => {
    const order: string[] = [];
    const waiting = (name: string) =>
      contender(name, async () => {
        order.push(name);
        await new Promise((resolve) => setTimeout(resolve, 2));
      });
    const found = await measure([waiting("a"), waiting("b")], { rounds: 3, blockMs: 1 });
    expect(order.join("")).toBe("aabbababab");
    expect(found.map((s) => [s.name, s.blocks])).toEqual([
      ["a", 3],
      ["b", 3],
    ]);
    expect(found[0]?.medianMs).toBeGreaterThan(1);
  });
  it("takes the median of clean blocks where there are three", () => {
    const block = (ms: number, foreignCores: number) => ({ ms, foreignCores, ownCores: 1 });
    const disturbed = [block(9, 1), block(9, 1), block(9, 1)];
    const clean = [block(1, 0), block(2, 0.1), block(3, 0)];
    expect(summarize("a", [...disturbed, ...clean], 1)).toMatchObject({
      medianMs: 2,
      bestMs: 1,
      worstMs: 9,
      cleanBlocks: 3,
    });
    expect(summarize("a", [...disturbed, block(1, 0)], 1).medianMs).toBe(9);
  });
});

describe("a check before measuring", () => {
  it("lets a right product pass and finds one wrong element", () => {
    const spec = { mode: "NT", m: 24, n: 16, k: 20 } as const;
    const { a, b } = matmulOperands(spec);
    const c = Float32Array.from({ length: 24 * 16 }, (_, i) => {
      const [row, col] = [Math.floor(i / 16), i % 16];
      return Array.from({ length: 20 }, (__, k) => k).reduce(
        (sum, k) => sum + Number(a[row * 20 + k]) * Number(b[col * 20 + k]),
        0,
      );
    });
    expect(() => checkProduct(spec, { a, b }, c)).not.toThrow();
    c[100] = Number(c[100]) + 0.01;
    expect(() => checkProduct(spec, { a, b }, c)).toThrow("24×16×20 NT is wrong in row 6");
    c[100] = Number.NaN;
    expect(() => checkProduct(spec, { a, b }, c)).toThrow("is wrong");
  });
  it("finds a wrong output of attention", () => {
    const spec = {
      chains: 1,
      length: 2,
      heads: 1,
      kvHeads: 1,
      headDim: 2,
      part: "forward",
    } as const;
    const ones = Float32Array.of(1, 1, 1, 1);
    const host = { q: ones, k: ones, v: ones, dout: ones };
    expect(() => checkAttention(spec, host, [ones])).not.toThrow();
    expect(() => checkAttention(spec, host, [Float32Array.of(1, 1, 1, 1.1)])).toThrow("out[3]");
  });
  it("holds an engine to the golden numbers of the decoder", () => {
    const right = {
      firstLoss: GOLDEN.firstLoss.value,
      gradNorm: GOLDEN.gradNorm.value,
      lossAfter12: GOLDEN.lossAfter12.value,
    };
    expect(() => checkTraining("engine", right)).not.toThrow();
    expect(() => checkTraining("engine", { ...right, gradNorm: 1.26 })).toThrow("gradNorm");
    expect(() => checkTraining("engine", { ...right, firstLoss: Number.NaN })).toThrow("firstLoss");
  });
});

describe("a report", () => {
  it("aligns a table and leaves empty columns out", () => {
    const rows = [
      ["task", "load", "time"],
      ["a", "", "1 ms"],
      ["long", "", "2 ms"],
    ];
    expect(table(rows)).toBe("| task | time |\n| ---- | ---- |\n| a    | 1 ms |\n| long | 2 ms |");
  });
  it.each([
    [0.0123, "12.3 µs"],
    [0.5, "0.5 ms"],
    [123.4, "123 ms"],
    [2345, "2.35 s"],
  ])("prints %d ms as %s", (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
  it("knows which side of a bar is good", () => {
    const target = { what: "", measured: 5, bar: 5, unit: "", isAtLeast: true };
    expect(isMet(target)).toBe(true);
    expect(isMet({ ...target, measured: 4 })).toBe(false);
    expect(isMet({ ...target, measured: 4, isAtLeast: false })).toBe(true);
    expect(isMet({ ...target, measured: Number.NaN })).toBe(false);
  });
});
