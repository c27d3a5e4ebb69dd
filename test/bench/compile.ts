/**
 * First use of a program: the decoder's training step, traced, planned, compiled and run once, in a fresh process, with an
 * empty cache of compiled shaders and with the one that this left behind.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../../src/bench/measure.ts";
import { digits, duration, table } from "../../src/bench/report.ts";
import type { Outcome } from "./outcome.ts";

interface FirstUse {
  readonly openMs: number;
  readonly firstMs: number;
  readonly secondMs: number;
  readonly kernels: number;
  readonly texts: number;
}

/** Measures first uses: one with an empty cache and one with a warm one in each round. */
export function benchCompile({ rounds }: { readonly rounds: number }): Outcome {
  const cold: FirstUse[] = [];
  const warm: FirstUse[] = [];
  for (let round = 0; round < Math.min(rounds, 5); round++) {
    const folder = mkdtempSync(join(tmpdir(), "forge-gpu-shaders-"));
    cold.push(firstUse(folder));
    warm.push(firstUse(folder));
    rmSync(folder, { recursive: true, force: true });
  }
  const cells = (name: string, runs: readonly FirstUse[]): string[] => {
    const all = (of: (run: FirstUse) => number): number[] => runs.map(of);
    return [
      name,
      duration(median(all((r) => r.firstMs))),
      duration(Math.min(...all((r) => r.firstMs))),
      duration(median(all((r) => r.secondMs))),
      duration(median(all((r) => r.openMs))),
      String(runs.length),
    ];
  };
  const header = ["shader cache", "first step", "best", "second step", "device opened in", "runs"];
  const { kernels = 0, texts = 0 } = cold[0] ?? {};
  const target = (what: string, runs: readonly FirstUse[], bar: number) => ({
    what,
    measured: Number(digits(median(runs.map((r) => r.firstMs)) / 1000)),
    bar,
    unit: "s",
    isAtLeast: false,
  });
  return {
    title: "compile",
    text: `${table([header, cells("empty", cold), cells("warm", warm)])}\n\n${kernels} kernels of ${texts} texts.`,
    data: { cold, warm },
    targets: [
      target("first training step, empty shader cache", cold, 20),
      target("first training step, warm shader cache", warm, 2),
    ],
  };
}

function firstUse(cache: string): FirstUse {
  const child = join(import.meta.dirname, "compile-child.ts");
  const done = spawnSync(process.execPath, ["--import", "tsx", child], {
    encoding: "utf8",
    env: {
      ...process.env,
      MESA_SHADER_CACHE_DIR: cache,
      // of NVIDIA's driver
      __GL_SHADER_DISK_CACHE_PATH: cache,
    },
  });
  if (done.status !== 0) throw new Error(`a first use failed:\n${done.stderr}`);
  return JSON.parse(done.stdout.trim().split("\n").at(-1) ?? "") as FirstUse;
}
