import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openModelDirectory } from "../../../src/models/directory.ts";
import { openRunPolicy } from "../../../src/train/policy/run-policy.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { forgeGpu } from "../../support/command.ts";
import { device } from "../../support/gpu.ts";
import { logitsOf } from "../../support/lora.ts";
import { SUMS, saveRun, sectionOf } from "../../support/run-folder.ts";

const folder = temporaryFolder("export-command");
const run = join(folder, "run");
const to = join(folder, "exported");

beforeAll(async () => {
  await saveRun(run, await device(), sectionOf(SUMS));
});

describe("forge-gpu export", () => {
  it("writes a directory, and says where; not over another one", async () => {
    const first = await forgeGpu(["export", run, "--to", to]);
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toBe(`${to}\n`);
    expect(first.stderr).toMatch(/^step 2, hf, 5 files, [\d.]+ kB$/m);
    const again = await forgeGpu(["export", run, "--to", to]);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain("[argument_invalid]");
  });

  it("takes the checkpoint that is asked for, and prints one document", async () => {
    const line = ["export", run, "--to", to, "--best", "--dtype", "bf16", "--force", "--json"];
    const { code, stdout, stderr } = await forgeGpu(line);
    expect(code, stderr).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({
      ...{ directory: to, format: "hf" },
      checkpoint: { path: join(run, "checkpoints", "step-000001"), step: 1 },
      versions: { node: process.version },
    });
    expect(document.files.map((file: { name: string }) => file.name)).toEqual(readdirSync(to));
    const gpu = await device();
    await using exported = await openModelDirectory(to, { device: gpu });
    await using policy = await openRunPolicy(run, { device: gpu, choice: "best" });
    const [got, expected] = [
      await logitsOf(exported.model, IDS),
      await logitsOf(policy.model, IDS),
    ];
    const worst = got.reduce((most, x, i) => Math.max(most, Math.abs(x - Number(expected[i]))), 0);
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(0.05);
  });
});

const IDS = Uint32Array.from([1, 10, 2, 11, 3, 14]);
