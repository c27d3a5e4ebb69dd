import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createModel } from "../../../engine/index.ts";
import { saveModelDirectory } from "../../../src/models/directory.ts";
import { device } from "../../support/gpu.ts";

const repository = resolve(import.meta.dirname, "../../..");
const folder = mkdtempSync(join(tmpdir(), "forge-gpu-memory-"));
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * On a software adapter the GPU's memory is the host's, so that the size of the process says little: what is counted are
 * the bytes of array buffers, garbage among them, at every chunk. All that loading holds on the host are such buffers, and
 * what the driver has not yet copied to its own, of which `WeightUpload` lets there be 32 MiB.
 */
describe("loading a checkpoint of several shards", () => {
  it.each([
    ["F32", "f32"],
    ["BF16", "f16"],
  ] as const)("%s as %s holds less than 1.2 times the largest shard", async (format, dtype) => {
    await device();
    const sizes = { vocab: 8000, layers: 8, width: 512, heads: 8 };
    const more = { mlpWidth: 2048, isTied: false, init: () => 0.01, weightDtype: dtype };
    const model = createModel({ ...sizes, ...more });
    const path = join(folder, `${format}-${dtype}`);
    await saveModelDirectory(model, path, { dtype: format, maxShardBytes: 40e6 });
    model[Symbol.dispose]();
    const shards = readdirSync(path).filter((name) => name.endsWith(".safetensors"));
    expect(shards.length).toBeGreaterThanOrEqual(format === "F32" ? 4 : 3);
    const largest = Math.max(...shards.map((name) => statSync(join(path, name)).size));
    expect(largest).toBeGreaterThan(35e6);

    const child = ["--import", "tsx", join(import.meta.dirname, "load-child.ts"), path, dtype];
    const done = spawnSync(process.execPath, child, { cwd: repository, encoding: "utf8" });
    expect(done.status, done.stderr).toBe(0);
    const { peakBytes, samples, liveBytes } = JSON.parse(done.stdout);
    expect(samples).toBeGreaterThan(40);
    expect(liveBytes).toBeGreaterThan(shards.length * 25e6);
    expect(peakBytes).toBeGreaterThan(1e6);
    expect(peakBytes).toBeLessThan(1.2 * largest);
    rmSync(path, { recursive: true });
  });
});
