/** Runs in a folder of their own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { RunDescription } from "../../../src/train/run/run-directory.ts";

/** Gives each test an empty folder for runs. */
export function useRuns(): () => string {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "forge-gpu-runs-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  return () => folder;
}

export function description(overrides: Partial<RunDescription> = {}): RunDescription {
  return {
    name: "quick",
    config: { steps: 3, pool: { window: Number.POSITIVE_INFINITY } },
    seed: 7,
    version: "0.1.0",
    adapter: { vendor: "mesa", device: "llvmpipe" },
    isDeterministic: true,
    nondeterminism: [],
    ...overrides,
  };
}
