import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { cachedModel, commitFolder, modelFolder, noteCached } from "../../../src/hub/cache.ts";
import { resolveModelDirectory } from "../../../src/hub/resolve.ts";
import { codeOf } from "../../support/errors.ts";
import { useEmptyCache } from "../../support/hub-cache.ts";

const scratch = useEmptyCache();
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** A model as a pull leaves it. */
function cached(id: string, revision: string): string {
  const directory = commitFolder(id, COMMIT);
  mkdirSync(directory, { recursive: true });
  noteCached({ id, revision }, COMMIT);
  return directory;
}

describe("the cache", () => {
  it("lies in FORGE_CACHE, or beside what else forge-gpu keeps", () => {
    expect(modelFolder("org/name")).toBe(join(scratch(), "cache/models/org--name"));
    vi.stubEnv("FORGE_CACHE", "");
    vi.stubEnv("XDG_CACHE_HOME", scratch());
    expect(modelFolder("gpt2")).toBe(join(scratch(), "forge-gpu/models/gpt2"));
  });

  it("knows a model by its revision and by its commit", () => {
    const directory = cached("org/name", "refs/pr/1");
    expect(cachedModel("org/name", "refs/pr/1")).toBe(directory);
    expect(cachedModel("org/name", COMMIT)).toBe(directory);
    expect(cachedModel("org/name")).toBeUndefined();
    expect(cachedModel("org/other", "refs/pr/1")).toBeUndefined();
  });

  it("does not believe a note that is damaged, or of what has been deleted", () => {
    const directory = cached("org/name", "main");
    const ref = join(modelFolder("org/name"), "refs/main");
    writeFileSync(ref, "../../elsewhere");
    expect(cachedModel("org/name")).toBeUndefined();
    writeFileSync(ref, COMMIT);
    expect(cachedModel("org/name")).toBe(directory);
    rmSync(directory, { recursive: true });
    expect(cachedModel("org/name")).toBeUndefined();
  });
});

describe("resolveModelDirectory", () => {
  it("prefers a directory with a config.json to a model of the same name", () => {
    const pulled = cached("org/name", "main");
    const home = process.cwd();
    process.chdir(scratch());
    try {
      mkdirSync("org/name", { recursive: true });
      expect(resolveModelDirectory("org/name")).toBe(pulled);
      writeFileSync("org/name/config.json", "{}");
      expect(resolveModelDirectory("org/name")).toBe("org/name");
    } finally {
      process.chdir(home);
    }
  });

  it("finds a pulled model at a revision", () => {
    const pulled = cached("org/name", "v1");
    expect(resolveModelDirectory("org/name@v1")).toBe(pulled);
    expect(codeOf(() => resolveModelDirectory("org/name"))).toBe("model_not_found");
  });

  it.each([
    ["org/name", "forge-gpu pull org/name"],
    ["org/name@v2", "forge-gpu pull org/name@v2"],
    ["./not-there", "give the directory"],
    ["", "give the directory"],
  ])("says what to do about %j", (name, fix) => {
    try {
      resolveModelDirectory(name);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "model_not_found", hint: expect.stringContaining(fix) });
    }
  });

  it("says what is wrong with a directory", () => {
    expect(codeOf(() => resolveModelDirectory(scratch()))).toBe("model_not_found");
  });
});
