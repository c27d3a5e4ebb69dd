import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { cachedModel, commitFolder, modelFolder, PART_SUFFIX } from "../../../src/hub/cache.ts";
import { modelFiles, promisedSha, TestHub } from "../../support/hub.ts";
import { useEmptyCache } from "../../support/hub-cache.ts";

useEmptyCache();
const repository = resolve(import.meta.dirname, "../../..");
const LARGEST = "model-00001-of-00002.safetensors";
const source = modelFiles();
const total = Object.entries(source)
  .filter(([path]) => /^(model|config|tokenizer)/.test(path))
  .reduce((sum, [, data]) => sum + data.length, 0);

interface Run {
  readonly child: ChildProcess;
  readonly done: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

/** Starts the command; the environment is that of the test. */
function start(args: readonly string[], imports: readonly string[] = ["tsx"]): Run {
  const flags = imports.flatMap((module) => ["--import", module]);
  const child = spawn(process.execPath, [...flags, "src/cli/main.ts", "pull", ...args], {
    cwd: repository,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const finish = async (): Promise<Awaited<Run["done"]>> => {
    const output = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
    const [stdout, stderr] = await output;
    return { code: child.exitCode, stdout, stderr };
  };
  return { child, done: finish() };
}

const pull = (...args: string[]): Run["done"] => start(args).done;

describe("forge-gpu pull", () => {
  it("prints the directory, and says on stderr what it did", async () => {
    await using hub = await TestHub.open(source);
    const first = await pull("org/name", "--endpoint", hub.endpoint);
    expect(first).toMatchObject({ code: 0, stdout: `${cachedModel("org/name")}\n` });
    expect(first.stderr).toMatch(
      /^org\/name {2}commit [0-9a-f]{12}, 5 files, 300 kB downloaded in 0:\d\d\n$/,
    );
    const again = await pull("org/name", "--endpoint", hub.endpoint);
    expect(again.stderr).toMatch(/, 5 files, 300 kB already there\n$/);
  });

  it("prints one JSON document on demand, and nothing else", async () => {
    await using hub = await TestHub.open(source);
    const args = ["org/name@main", "--json", "--quiet", "--all", "--endpoint", `${hub.endpoint}/`];
    const { code, stdout, stderr } = await pull(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const commit = hub.commit(source);
    const files = Object.entries(source).map(([path, data]) => ({
      path,
      size: Buffer.from(data).length,
      sha: promisedSha(data),
    }));
    expect(JSON.parse(stdout)).toEqual({
      ...{ id: "org/name", revision: "main", commit, directory: commitFolder("org/name", commit) },
      files,
      downloadedBytes: files.reduce((sum, { size }) => sum + size, 0),
      reusedBytes: 0,
    });
  });

  it("takes globs, one for each --include", async () => {
    await using hub = await TestHub.open(source);
    const globs = ["--include", "*.md", "--include", "config.*"];
    const { stdout } = await pull(...globs, "org/name", "--json", "--endpoint", hub.endpoint);
    const { files } = JSON.parse(stdout) as { files: { path: string }[] };
    expect(files.map(({ path }) => path)).toEqual(["config.json", "README.md"]);
  });

  it("says in its help what is taken by default", async () => {
    const { code, stdout } = await pull("--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(/default revision: main/);
    expect(stdout).toMatch(/--parallel <count> .*\(default: 4\)/);
    expect(stdout).toMatch(/HF_ENDPOINT, or\s+https:\/\/huggingface\.co/);
    expect(stdout).toContain("HF_TOKEN");
  });
});

describe("wrong usage", () => {
  it("exits with 2 and a hint", async () => {
    const cases = [
      { args: ["../name"], hint: "no name of a model" },
      { args: ["org/name@a..b"], hint: "no revision" },
      { args: ["org/name", "--endpoint", "hub.example"], hint: "no address of a hub" },
      { args: ["org/name", "--parallel", "0"], hint: "from 1 to 64" },
      { args: ["org/name", "--all", "--include", "*.md"], hint: "cannot be used with" },
      { args: ["org/name", "--quite"], hint: "Did you mean --quiet?" },
      { args: [], hint: "missing required argument" },
    ];
    const runs = await Promise.all(cases.map(({ args }) => pull(...args)));
    for (const [i, { code, stdout, stderr }] of runs.entries()) {
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(cases[i]?.hint);
    }
  });
});

describe("failure", () => {
  it("exits with 1, and with nothing on stdout", async () => {
    await using hub = await TestHub.open(source);
    const { code, stdout, stderr } = await pull("org/other", "--json", "--endpoint", hub.endpoint);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("[hub_not_found]");
  });

  it("without the hub's client says how to install it", async () => {
    const hooks = `
      export async function resolve(name, context, next) {
        if (name !== "@huggingface/hub") return next(name, context);
        throw Object.assign(new Error("Cannot find package '" + name + "'"), { code: "ERR_MODULE_NOT_FOUND" });
      }`;
    const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
    const absent = dataUrl(
      `import { register } from "node:module"; register(${JSON.stringify(dataUrl(hooks))});`,
    );
    const { code, stderr } = await start(["org/name"], ["tsx", absent]).done;
    expect(code).toBe(1);
    expect(stderr).toContain("[package_missing]");
    expect(stderr).toContain("npm install @huggingface/hub");
  });
});

describe("an interrupted pull", () => {
  const partOf = (hub: TestHub): string =>
    join(commitFolder(hub.id, hub.commit(source)), `${LARGEST}${PART_SUFFIX}`);

  /** Waits until the largest file has come as far as the hub lets it. */
  async function untilStalled(hub: TestHub, bytes: number): Promise<void> {
    const there = (): number => statSync(partOf(hub), { throwIfNoEntry: false })?.size ?? 0;
    await expect.poll(there, { timeout: 20_000, interval: 10 }).toBe(bytes);
  }

  it("goes on from where it was killed", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(LARGEST, { stallAfter: 80_000 });
    const { child, done } = start(["org/name", "--endpoint", hub.endpoint]);
    await untilStalled(hub, 80_000);
    await expect.poll(() => hub.sent(), { timeout: 20_000 }).toBe(total - 120_000);
    child.kill("SIGKILL");
    await done;
    expect(cachedModel("org/name")).toBeUndefined();
    expect(existsSync(partOf(hub).slice(0, -PART_SUFFIX.length))).toBe(false);

    const before = hub.sent();
    const { code, stdout } = await pull("org/name", "--json", "--endpoint", hub.endpoint);
    expect(code).toBe(0);
    expect(hub.sent(LARGEST)).toBe(200_000);
    const asked = hub.requests.filter(({ what, origin }) => what === LARGEST && origin === "files");
    expect(asked.map(({ range }) => range)).toEqual(["bytes=0-", "bytes=80000-"]);
    const downloadedBytes = hub.sent() - before;
    expect(JSON.parse(stdout)).toMatchObject({
      downloadedBytes,
      reusedBytes: total - downloadedBytes,
    });
    const directory = cachedModel("org/name") ?? "";
    expect(readFileSync(join(directory, LARGEST)).equals(Buffer.from(source[LARGEST] ?? ""))).toBe(
      true,
    );
  });

  it("by Ctrl-C says that it can go on, and exits with 130", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(LARGEST, { stallAfter: 80_000 });
    const { child, done } = start(["org/name", "--json", "--endpoint", hub.endpoint]);
    await untilStalled(hub, 80_000);
    child.kill("SIGINT");
    const { code, stdout, stderr } = await done;
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    expect(stderr).toMatch(/interrupted: .* goes on from there\n$/);
    expect(statSync(partOf(hub)).size).toBe(80_000);
    expect(existsSync(join(modelFolder("org/name"), "lock"))).toBe(false);
  });
});

describe("two commands at a time", () => {
  it("download one copy, and both have it", async () => {
    await using hub = await TestHub.open(source);
    hub.rate = 200_000;
    const args = ["org/name", "--endpoint", hub.endpoint];
    const both = await Promise.all([pull(...args), pull(...args)]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(new Set(both.map(({ stdout }) => stdout))).toEqual(
      new Set([`${cachedModel("org/name")}\n`]),
    );
    expect(hub.sent()).toBe(total);
  });
});
