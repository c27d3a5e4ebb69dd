import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openModelDirectory, saveModelDirectory } from "../../../src/models/directory.ts";
import { device, randoms } from "../../support/gpu.ts";
import { turnModel, turnOptions } from "./turn-models.ts";

const repository = resolve(import.meta.dirname, "../../..");
const folder = mkdtempSync(join(tmpdir(), "forge-gpu-kill-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Contents of what is in a directory, by name. */
function contents(path: string): string {
  return JSON.stringify(
    readdirSync(path)
      .sort()
      .map((name) => [name, readFileSync(join(path, name), "base64")]),
  );
}

/** A process that saves to a directory again and again, and has done so `times` times. */
async function saver(target: string, times: number): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", join(import.meta.dirname, "save-child.ts"), target],
    { cwd: repository, stdio: ["ignore", "pipe", "inherit"] },
  );
  let said = "";
  await new Promise<void>((done, fail) => {
    child.once("exit", (code) => fail(new Error(`the child has ended with ${code}`)));
    child.stdout.on("data", (part) => {
      said += part;
      if (said.split("\n").length > times) done();
    });
  });
  return child;
}

/** Kills a process in the middle of what it does. */
async function kill(child: ChildProcess): Promise<void> {
  const signal = new Promise((done) => child.once("exit", (_code, by) => done(by)));
  child.kill("SIGKILL");
  expect(await signal).toBe("SIGKILL");
}

describe("a process that is killed while it saves a model over another", () => {
  let whole: readonly string[];
  beforeAll(async () => {
    await device();
    const saved = [0, 1].map(async (turn) => {
      const path = join(folder, `turn-${turn}`);
      await saveModelDirectory(turnModel(turn), path, turnOptions(turn));
      return contents(path);
    });
    whole = await Promise.all(saved);
  });

  const random = randoms(7);
  const kills = Array.from({ length: 5 }, () => 120 * random.next());

  it("leaves the old one or the new one, whole", async () => {
    const killed = kills.map(async (ms, i) => {
      const parent = join(folder, `killed-${i}`);
      mkdirSync(parent);
      const target = join(parent, "model");
      const child = await saver(target, 1 + i);
      await sleep(ms);
      await kill(child);
      return parent;
    });
    let interrupted = 0;
    for (const parent of await Promise.all(killed)) {
      if (readdirSync(parent).length > 1) interrupted++;
      const target = join(parent, "model");
      await (await openModelDirectory(target, { device: await device() })).close();
      expect(whole).toContain(contents(target));
      // what it has left beside goes with the next save
      await saveModelDirectory(turnModel(1), target, turnOptions(1));
      expect(contents(target)).toBe(whole[1]);
      expect(readdirSync(parent)).toEqual(["model"]);
    }
    expect(interrupted).toBeGreaterThan(0);
  });
});
