import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { cachedModel, commitFolder, PART_SUFFIX } from "../../../src/hub/cache.ts";
import { diskError } from "../../../src/hub/disk.ts";
import { type PulledModel, type PullOptions, pullModel } from "../../../src/hub/pull.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";
import { type HubFiles, modelFiles, noise, promisedSha, TestHub } from "../../support/hub.ts";
import { useEmptyCache } from "../../support/hub-cache.ts";

const FIRST = "model-00001-of-00002.safetensors";
const SECOND = "model-00002-of-00002.safetensors";
const NEEDED = ["config.json", FIRST, SECOND, "model.safetensors.index.json", "tokenizer.json"];
const retry = { attempts: 3, firstWaitMs: 5, longestWaitMs: 20 };

const scratch = useEmptyCache();

function pull(
  hub: TestHub,
  options: PullOptions = {},
  name: string = hub.id,
): Promise<PulledModel> {
  return pullModel(name, { endpoint: hub.endpoint, retry, ...options });
}

/** Expects the files of a pulled model to be those on the hub, and no others to be beside them. */
function expectWhole({ directory, files }: PulledModel, source: HubFiles, paths = NEEDED): void {
  expect(files.map(({ path }) => path).sort()).toEqual([...paths].sort());
  for (const { path, size, sha } of files) {
    const data = Buffer.from(source[path] ?? "");
    expect(readFileSync(join(directory, path)).equals(data), path).toBe(true);
    expect({ size, sha }).toEqual({ size: data.length, sha: promisedSha(data) });
  }
  expect(filesIn(directory).sort()).toEqual([...paths].sort());
}

function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1));
}

/** Leaves the first bytes of a file where an interrupted pull would. */
function leavePart(hub: TestHub, commit: string, path: string, bytes: Uint8Array): string {
  const part = join(commitFolder(hub.id, commit), `${path}${PART_SUFFIX}`);
  mkdirSync(dirname(part), { recursive: true });
  writeFileSync(part, bytes);
  return part;
}

describe("pullModel", () => {
  const source = modelFiles();
  const total = NEEDED.reduce((sum, path) => sum + Buffer.from(source[path] ?? "").length, 0);

  it("brings what a model directory needs, verified, and nothing else", async () => {
    await using hub = await TestHub.open(source);
    const model = await pull(hub);
    expectWhole(model, source);
    expect(model).toMatchObject({ id: "org/name", revision: "main" });
    expect(model).toMatchObject({ downloadedBytes: total, reusedBytes: 0 });
    expect(hub.sent()).toBe(total);
    expect(cachedModel("org/name")).toBe(model.directory);
    expect(cachedModel("org/name", model.commit)).toBe(model.directory);
  });

  it("downloads nothing when everything is there", async () => {
    await using hub = await TestHub.open(source);
    await pull(hub);
    const before = hub.requests.length;
    const again = await pull(hub);
    expectWhole(again, source);
    expect(again).toMatchObject({ downloadedBytes: 0, reusedBytes: total });
    const asked = hub.requests.slice(before).map(({ what }) => what);
    expect([...new Set(asked)].sort()).toEqual(["revision", "tree"]);
  });

  it("links what an earlier commit has too", async () => {
    await using hub = await TestHub.open(source);
    const first = await pull(hub);
    const next = { ...source, "config.json": '{"model_type": "qwen3"}\n' };
    hub.commit(next);
    const model = await pull(hub);
    expectWhole(model, next);
    expectWhole(first, source);
    expect(model.downloadedBytes).toBe(next["config.json"].length);
    expect(cachedModel("org/name")).toBe(model.directory);
    expect(cachedModel("org/name", first.commit)).toBe(first.directory);
  });

  it("pulls branches, pull requests and commits by their names", async () => {
    await using hub = await TestHub.open(source);
    const other = { ...source, "config.json": "{}" };
    const commit = hub.commit(other, "refs/pr/1");
    const model = await pull(hub, {}, "org/name@refs/pr/1");
    expect(model).toMatchObject({ revision: "refs/pr/1", commit });
    expectWhole(model, other);
    expect(cachedModel("org/name", "refs/pr/1")).toBe(model.directory);
    expect(cachedModel("org/name")).toBeUndefined();
    expectWhole(await pull(hub, {}, `org/name@${commit}`), other);
  });

  it("takes other files on demand, in their folders", async () => {
    await using hub = await TestHub.open(source);
    const model = await pull(hub, { include: ["original/*", "*.md"] });
    expectWhole(model, source, ["README.md", "original/consolidated.safetensors"]);
    expect(cachedModel("org/name")).toBeUndefined();
    expectWhole(await pull(hub, { all: true }), source, Object.keys(source));
    expect(cachedModel("org/name")).toBe(model.directory);
    expect(await rejectionOf(pull(hub, { include: ["*.gguf"] }))).toBe("argument_invalid");
  });

  it("brings empty files, and names that need quoting", async () => {
    const odd = { "a b#?%.txt": "odd", "empty.txt": "", "näme/ü.txt": "wide" };
    await using hub = await TestHub.open(odd);
    expectWhole(await pull(hub, { all: true }), odd, Object.keys(odd));
  });

  it("reports the bytes that come", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(FIRST, { cutAfter: 50_000 }, { ignoresRange: true });
    let done = Number.NaN;
    let end = Number.NaN;
    await pull(hub, {
      onStart: (total, there) => {
        done = there;
        end = total;
      },
      onBytes: (bytes) => {
        done += bytes;
      },
    });
    expect([done, end]).toEqual([total, total]);
  });
});

describe("a pull that fails midway", () => {
  const source = modelFiles();

  it("goes on after a cut where it was", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(FIRST, { cutAfter: 70_000 }, { cutAfter: 50_000 });
    const notes: string[] = [];
    expectWhole(await pull(hub, { onNote: (line) => notes.push(line) }), source);
    const ranges = hub.requests.filter((r) => r.what === FIRST && r.origin === "files");
    expect(ranges.map(({ range }) => range)).toEqual(["bytes=0-", "bytes=70000-", "bytes=120000-"]);
    expect(hub.sent(FIRST)).toBe(200_000);
    expect(notes).toHaveLength(2);
    expect(notes[0]).toMatch(/connection was cut .*again in 0\.0 s/);
  });

  it("goes on after a silence", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(FIRST, { stallAfter: 70_000 });
    expectWhole(await pull(hub, { retry: { ...retry, stallMs: 1000 } }), source);
    expect(hub.sent(FIRST)).toBe(200_000);
  });

  it("tries again on 5xx and 429, and waits as long as it is asked to", async () => {
    await using hub = await TestHub.open(source);
    hub.fail("revision", { status: 503 });
    hub.fail("tree", { status: 500 });
    hub.fail("config.json", { status: 429, headers: { "retry-after": "1" } });
    hub.fail(FIRST, { status: 502 }, { status: 403 });
    const started = performance.now();
    expectWhole(await pull(hub), source);
    expect(performance.now() - started).toBeGreaterThan(990);
  });

  it("gives up after the last attempt, and keeps what has come", async () => {
    await using hub = await TestHub.open(source);
    const cut = { cutAfter: 0 };
    hub.fail(FIRST, { cutAfter: 70_000 }, cut, cut, cut);
    expect(await rejectionOf(pull(hub))).toBe("hub_unreachable");
    expect(existsSync(commitFolder(hub.id, hub.commit(source)))).toBe(true);
    expect(cachedModel("org/name")).toBeUndefined();
    const model = await pull(hub);
    expectWhole(model, source);
    expect(hub.sent(FIRST)).toBe(200_000);
    expect(model.reusedBytes).toBeGreaterThanOrEqual(70_000);
  });

  it("does not wait for longer than anybody would", async () => {
    await using hub = await TestHub.open(source);
    hub.fail("revision", { status: 429, headers: { "retry-after": "86400" } });
    expect(await rejectionOf(pull(hub))).toBe("hub_unreachable");
  });

  it("says so when there is no hub", async () => {
    const hub = await TestHub.open(source);
    const { endpoint } = hub;
    await hub[Symbol.asyncDispose]();
    const error = await errorOf(pullModel("org/name", { endpoint, retry }));
    expect(error).toMatchObject({ code: "hub_unreachable" });
    expect(error.message).toContain("ECONNREFUSED");
  });

  it("ends at once when it is aborted, with the reason, and can be taken up again", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(FIRST, { stallAfter: 70_000 });
    const abort = new AbortController();
    const stopped = errorOf(pull(hub, { signal: abort.signal }));
    await hub.untilSent(FIRST, 70_000);
    const reason = new Error("enough");
    abort.abort(reason);
    expect(await stopped).toBe(reason);
    expectWhole(await pull(hub), source);
  });
});

describe("bytes that are not those promised", () => {
  const source = modelFiles();
  const partOf = (hub: TestHub, path: string): string =>
    join(commitFolder(hub.id, hub.commit(source)), `${path}${PART_SUFFIX}`);

  it.each([
    ["of a large file", FIRST, noise(200_000, 9)],
    ["of a small file", "config.json", Buffer.from('{"model_type": "lxama"}\n')],
  ])("%s are deleted, and both hashes named", async (_, path, data) => {
    await using hub = await TestHub.open(source);
    hub.fail(path, { data });
    const error = await errorOf(pull(hub));
    expect(error).toMatchObject({ code: "hash_mismatch" });
    expect(error.message).toContain(promisedSha(source[path] ?? ""));
    const got =
      path === FIRST ? promisedSha(data) : /got +([0-9a-f]{40}),/.exec(error.message)?.[1];
    expect(error.message).toContain(got);
    expect(existsSync(partOf(hub, path))).toBe(false);
    expect(existsSync(partOf(hub, path).slice(0, -PART_SUFFIX.length))).toBe(false);
    expectWhole(await pull(hub), source);
  });

  it.each([
    ["fewer", noise(150_000, 1), {}],
    ["more", noise(250_000, 1), {}],
    ["fewer, of the whole file", noise(150_000, 1), { ignoresRange: true }],
    ["more, of the whole file", noise(250_000, 1), { ignoresRange: true }],
  ])("are noticed by their number: %s", async (_, data, fault) => {
    await using hub = await TestHub.open(source);
    hub.fail(FIRST, { data, ...fault });
    expect(await rejectionOf(pull(hub))).toBe("hash_mismatch");
    expect(existsSync(partOf(hub, FIRST))).toBe(false);
  });

  it("are noticed in what an earlier pull has left", async () => {
    await using hub = await TestHub.open(source);
    const part = leavePart(hub, hub.commit(source), FIRST, noise(1000, 7));
    expect(await rejectionOf(pull(hub))).toBe("hash_mismatch");
    expect(existsSync(part)).toBe(false);
    expectWhole(await pull(hub), source);
  });

  it("are replaced when a person asks to verify", async () => {
    await using hub = await TestHub.open(source);
    const { directory } = await pull(hub);
    writeFileSync(join(directory, FIRST), noise(200_000, 8));
    const notes: string[] = [];
    const model = await pull(hub, { verify: true, onNote: (line) => notes.push(line) });
    expectWhole(model, source);
    expect(model.downloadedBytes).toBe(200_000);
    expect(notes).toEqual([expect.stringContaining(FIRST)]);
  });
});

describe("resuming", () => {
  const source = modelFiles();
  const data = Buffer.from(source[FIRST] ?? "");

  it.each([
    ["a part", 123_456, 200_000 - 123_456],
    ["all of it", 200_000, 0],
    ["nothing yet", 0, 200_000],
  ])("fetches the rest of %s", async (_, length, rest) => {
    await using hub = await TestHub.open(source);
    leavePart(hub, hub.commit(source), FIRST, data.subarray(0, length));
    const model = await pull(hub);
    expectWhole(model, source);
    expect(hub.sent(FIRST)).toBe(rest);
    expect(model.reusedBytes).toBe(length);
  });

  it("begins anew when the server sends the whole file, or the part is too long", async () => {
    await using hub = await TestHub.open(source);
    const commit = hub.commit(source);
    leavePart(hub, commit, FIRST, data.subarray(0, 1000));
    leavePart(hub, commit, SECOND, noise(300_000, 2));
    hub.fail(FIRST, { ignoresRange: true });
    const model = await pull(hub);
    expectWhole(model, source);
    expect(model.reusedBytes).toBe(0);
  });

  it("ends when the server sends the whole file and is cut off each time", async () => {
    await using hub = await TestHub.open(source);
    hub.fail(FIRST, ...Array.from({ length: 9 }, () => ({ ignoresRange: true, cutAfter: 90_000 })));
    expect(await rejectionOf(pull(hub))).toBe("hub_unreachable");
    expect(hub.sent(FIRST)).toBe(retry.attempts * 90_000);
  });
});

describe("two pulls of a model", () => {
  it("do not fetch anything twice", async () => {
    const source = modelFiles();
    await using hub = await TestHub.open(source);
    hub.rate = 400_000;
    const notes: string[] = [];
    const onNote = (line: string): void => void notes.push(line);
    const models = await Promise.all([pull(hub, { onNote }), pull(hub, { onNote })]);
    for (const model of models) expectWhole(model, source);
    const total = models[0]?.files.reduce((sum, { size }) => sum + size, 0);
    expect(hub.sent()).toBe(total);
    expect(models.map(({ downloadedBytes }) => downloadedBytes).sort()).toEqual([0, total]);
    expect(notes).toEqual([expect.stringContaining("waiting for another pull")]);
  });
});

describe("a model that does not fit on the disk", () => {
  it("is refused before anything is downloaded", async () => {
    const lfs = { oid: "0".repeat(64), size: 2 ** 52 };
    const claims = [{ type: "file", path: "huge.safetensors", size: 2 ** 52, oid: "", lfs }];
    await using hub = await TestHub.open(modelFiles(), { claims });
    const error = await errorOf(pull(hub, { all: true }));
    expect(error).toMatchObject({ code: "disk_full" });
    expect(error.message).toMatch(/got {2}4\.50 PB to download, .* free/);
    expect(hub.sent()).toBe(0);
  });

  it("is a full disk, whatever the file system calls that", () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
      code: "ENOSPC",
    });
    const other = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
    expect(diskError(full, "/models")).toMatchObject({ code: "disk_full", cause: full });
    expect(diskError(other, "/models")).toBe(other);
  });
});

describe("links in the cache", () => {
  it("lead nothing out of it", async () => {
    const source = { "deep/file.txt": "deep", "file.txt": "top" };
    await using hub = await TestHub.open(source);
    const directory = commitFolder(hub.id, hub.commit(source));
    const outside = join(scratch(), "outside");
    mkdirSync(outside);
    mkdirSync(directory, { recursive: true });
    symlinkSync(outside, join(directory, "deep"));
    expect(await rejectionOf(pull(hub, { all: true }))).toBe("argument_invalid");
    rmSync(directory, { recursive: true });
    mkdirSync(directory);

    const victim = join(scratch(), "victim");
    writeFileSync(victim, "mine");
    symlinkSync(victim, join(directory, `file.txt${PART_SUFFIX}`));
    expect(await errorOf(pull(hub, { all: true }))).toMatchObject({ code: "ELOOP" });
    rmSync(join(directory, `file.txt${PART_SUFFIX}`));
    symlinkSync(victim, join(directory, "file.txt"));
    expectWhole(await pull(hub, { all: true }), source, Object.keys(source));
    expect(readFileSync(victim, "utf8")).toBe("mine");
    expect(readdirSync(outside)).toEqual([]);
    expect(statSync(join(directory, "deep")).isDirectory()).toBe(true);
  });
});
