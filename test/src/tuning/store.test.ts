import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Tuning } from "../../../engine/gpu/tuning.ts";
import {
  clearTunings,
  freezeTunings,
  keepTuning,
  savedTunings,
} from "../../../src/tuning/store.ts";

const repository = resolve(import.meta.dirname, "../../..");
let cache: string;

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "forge-gpu-tuning-"));
  vi.stubEnv("XDG_CACHE_HOME", cache);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(cache, { recursive: true, force: true });
});

/** A device's table that has found something out, and has been saved. */
function saved(adapter: string): Tuning {
  const tuning = new Tuning(adapter, "auto");
  keepTuning({ tuning });
  tuning.decide("matmul f32 NN", { variant: "tiles_64", ms: { tiles_64: 1.25 } });
  tuning.onChange?.();
  return tuning;
}

/** The table of a device opened later. */
function reopened(adapter: string): { tuning: Tuning; ignored: string | undefined } {
  const tuning = new Tuning(adapter, "auto");
  return { tuning, ignored: keepTuning({ tuning }) };
}

function forgeGpu(...args: string[]): { code: number | null; stdout: string } {
  const main = ["--import", "tsx", "src/cli/main.ts", "tuning", ...args];
  const done = spawnSync(process.execPath, main, { cwd: repository, encoding: "utf8" });
  return { code: done.status, stdout: done.stdout };
}

describe("keepTuning", () => {
  it("gives a later device of the same adapter the table, and others none", () => {
    const first = saved("adapter A");
    expect(reopened("adapter A").tuning.report()).toEqual(first.report());
    expect(reopened("adapter B").tuning.report().choices).toEqual({});
  });

  it("keeps one file for each adapter, and no drafts", () => {
    saved("adapter A");
    saved("adapter B");
    saved("adapter A");
    const files = readdirSync(join(cache, "forge-gpu", "tuning"));
    expect(files).toHaveLength(2);
    expect(files.every((name) => name.endsWith(".json"))).toBe(true);
  });

  it("ignores a damaged file, says so, and replaces it", () => {
    saved("adapter A");
    const [table] = savedTunings();
    writeFileSync(table?.file ?? "", '{"format": "forge');
    expect(savedTunings()).toEqual([]);
    expect(reopened("adapter A").ignored).toBe("the table is no JSON");
    saved("adapter A");
    expect(reopened("adapter A").ignored).toBeUndefined();
  });

  it("goes on without saving where it may not write", () => {
    writeFileSync(join(cache, "forge-gpu"), "a file in the place of the folder");
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    saved("adapter A");
    expect(warn.mock.calls[0]?.[0]).toContain("cannot be saved");
    warn.mockRestore();
  });
});

describe("freezeTunings", () => {
  it("freezes devices opened later, until it is taken back", () => {
    saved("adapter A");
    expect(freezeTunings(true)).toMatchObject([{ adapter: "adapter A", isFrozen: true }]);
    expect(reopened("adapter A").tuning.mode).toBe("frozen");
    freezeTunings(false);
    expect(reopened("adapter A").tuning.mode).toBe("auto");
  });
});

describe("clearTunings", () => {
  it("deletes all tables", () => {
    saved("adapter A");
    saved("adapter B");
    expect(clearTunings()).toBe(2);
    expect(savedTunings()).toEqual([]);
    expect(clearTunings()).toBe(0);
  });
});

describe("forge-gpu tuning", () => {
  it("shows, freezes and clears what is saved", () => {
    expect(forgeGpu("show").stdout).toContain("nothing is saved");
    saved("adapter A");
    expect(forgeGpu("show").stdout).toMatch(/adapter A\n.*\n.*1 classes timed.*\n.*NN\n.*tiles_64/);
    expect(forgeGpu("freeze")).toEqual({ code: 0, stdout: "1 table frozen\n" });
    const { tables } = JSON.parse(forgeGpu("show", "--json").stdout);
    expect(tables).toMatchObject([{ adapter: "adapter A", isFrozen: true }]);
    expect(forgeGpu("freeze", "--off").stdout).toBe("1 table no longer frozen\n");
    expect(forgeGpu("clear").stdout).toBe("1 table deleted\n");
    expect(JSON.parse(forgeGpu("show", "--json").stdout)).toEqual({ tables: [] });
  });

  it("exits with 2 on wrong usage", () => {
    expect(forgeGpu("shwo").code).toBe(2);
    expect(forgeGpu("freeze", "--of").code).toBe(2);
  });
});
