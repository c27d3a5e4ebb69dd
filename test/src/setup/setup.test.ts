import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseDeb822, parseOneLine } from "../../../src/setup/apt.mjs";
import { embedShaders } from "../../../src/setup/embed-shaders.mjs";
import { packagesAreInstalled } from "../../../src/setup/packages.mjs";
import { tarFiles } from "../../../src/setup/tar.mjs";

const repository = resolve(import.meta.dirname, "../../..");
const scratch = mkdtempSync(join(tmpdir(), "forge-gpu-setup-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function folder(name: string, files: Readonly<Record<string, string>> = {}): string {
  const path = join(scratch, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(path, file, ".."), { recursive: true });
    writeFileSync(join(path, file), text);
  }
  return path;
}

describe("setUp", () => {
  it("costs less than a second when there is nothing to do", () => {
    const setUp = () =>
      spawnSync(process.execPath, ["src/setup/setup.mjs"], { cwd: repository, encoding: "utf8" });
    expect(setUp().status).toBe(0);
    const started = performance.now();
    const again = setUp();
    expect(performance.now() - started).toBeLessThan(1000);
    expect(again.stderr).toMatch(/^set-up: ready: .+\n$/);
  });

  it("refuses an option that it does not know", () => {
    const done = spawnSync(process.execPath, ["src/setup/setup.mjs", "--brwoser"], {
      cwd: repository,
      encoding: "utf8",
    });
    expect(done.status).toBe(2);
    expect(done.stderr).toContain("--brwoser");
  });
});

describe("withLock", () => {
  const lock = join(repository, "src/setup/lock.mjs");

  /** Starts a process that appends two lines to a journal while it holds the lock. */
  async function holder(cache: string, journal: string): Promise<void> {
    const script = `
      import { appendFileSync } from "node:fs";
      import { withLock } from ${JSON.stringify(lock)};
      withLock(() => {}, () => {
        appendFileSync(${JSON.stringify(journal)}, "in\\n");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
        appendFileSync(${JSON.stringify(journal)}, "out\\n");
      });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, XDG_CACHE_HOME: cache },
    });
    await once(child, "exit");
  }

  it("lets one process in at a time", async () => {
    const cache = folder("cache", { journal: "" });
    const journal = join(cache, "journal");
    await Promise.all([1, 2, 3].map(() => holder(cache, journal)));
    expect(readFileSync(journal, "utf8")).toBe("in\nout\n".repeat(3));
  });

  it("takes over from a process that has died", async () => {
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    const cache = folder("stale", { "forge-gpu/setup.lock": `${dead} ${hostname()}`, journal: "" });
    await holder(cache, join(cache, "journal"));
    expect(readFileSync(join(cache, "journal"), "utf8")).toBe("in\nout\n");
  });
});

describe("packagesAreInstalled", () => {
  const lock = {
    packages: {
      "": { version: "0.1.0" },
      "node_modules/a": { version: "1.0.0" },
      "node_modules/b-win32": { version: "1.0.0", optional: true },
    },
  };
  const tree = (name: string, installed: object | null): string =>
    folder(name, {
      "package-lock.json": JSON.stringify(lock),
      ...(installed && {
        "node_modules/.package-lock.json": JSON.stringify({ packages: installed }),
      }),
    });

  it("does not miss the optional packages of other platforms", () => {
    expect(packagesAreInstalled(tree("whole", { "node_modules/a": { version: "1.0.0" } }))).toBe(
      true,
    );
  });
  it("misses packages that are absent or of another version", () => {
    expect(packagesAreInstalled(tree("none", null))).toBe(false);
    expect(packagesAreInstalled(tree("empty", {}))).toBe(false);
    expect(packagesAreInstalled(tree("old", { "node_modules/a": { version: "0.9.0" } }))).toBe(
      false,
    );
  });
});

describe("prepareNats", () => {
  const module = join(repository, "src/setup/nats.mjs");

  /** What another process finds, whose PATH is one folder. */
  function found(cache: string, path: string): { path: string; version: string } | null {
    const script = `
      import { knownNats, prepareNats } from ${JSON.stringify(module)};
      const before = knownNats();
      if (!before) prepareNats({ say() {}, user: true });
      process.stdout.write(JSON.stringify(knownNats()));`;
    const done = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, XDG_CACHE_HOME: cache, PATH: path },
      encoding: "utf8",
    });
    return done.status === 0 ? JSON.parse(done.stdout) : null;
  }

  it.skipIf(process.platform === "win32")("records a server in the PATH, while it is there", () => {
    const cache = folder("nats-cache", { "forge-gpu/x": "" });
    const place = (name: string): string => {
      const path = folder(name, { "nats-server": `#!/bin/sh\necho "nats-server: ${name}"\n` });
      chmodSync(join(path, "nats-server"), 0o755);
      return path;
    };
    const [one, two] = [place("v1"), place("v2")];
    expect(found(cache, one)).toMatchObject({ version: "nats-server: v1" });
    // what is recorded holds, whatever the PATH is now
    expect(found(cache, two)).toMatchObject({ path: join(one, "nats-server") });
    rmSync(one, { recursive: true });
    expect(found(cache, two)).toMatchObject({ version: "nats-server: v2" });
  });
});

describe("embedShaders", () => {
  const tree = folder("shaders-tree", {
    "shaders/b.wgsl": "// `quotes` and ${dollars}\n",
    "shaders/a.wgsl": "fn a() {}\n",
    "shaders/README.md": "not a shader",
  });
  const module = join(tree, "engine/gpu/shader-sources.ts");

  it("writes every shader, sorted by name, as it is", () => {
    expect(embedShaders(tree)).toBe(true);
    const literal = readFileSync(module, "utf8").split("= ").at(-1)?.replace(/,\n};/, "}") ?? "";
    expect(Object.entries(JSON.parse(literal))).toEqual([
      ["a", "fn a() {}\n"],
      ["b", "// `quotes` and ${dollars}\n"],
    ]);
  });
  it("leaves the module alone when nothing changed", () => {
    const before = statSync(module).mtimeMs;
    expect(embedShaders(tree)).toBe(false);
    expect(statSync(module).mtimeMs).toBe(before);
  });
  it("writes an empty record without shaders", () => {
    const empty = folder("no-shaders", { "package.json": "{}" });
    expect(embedShaders(empty)).toBe(true);
    expect(readFileSync(join(empty, "engine/gpu/shader-sources.ts"), "utf8")).toContain("= {\n};");
  });
});

describe("tarFiles", () => {
  const files = folder("tar", { "deep/one.txt": "1".repeat(700), "two.txt": "", three: "3" });
  const packed = spawnSync("tar", ["--format=ustar", "-cf", "-", "deep", "two.txt", "three"], {
    cwd: files,
  }).stdout;

  it("yields the regular files", () => {
    const found = [...tarFiles(packed)].map(({ name, data }) => [name, data.toString()]);
    expect(found).toEqual([
      ["deep/one.txt", "1".repeat(700)],
      ["two.txt", ""],
      ["three", "3"],
    ]);
  });
  it("refuses a torn archive", () => {
    expect(() => [...tarFiles(packed.subarray(0, 1300))]).toThrow(/torn/);
  });
});

describe("apt's sources", () => {
  it("are read from .sources paragraphs", () => {
    const text = `
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
# URIs: http://commented.example
URIs: https://other.example/x
Suites: stable
Enabled: no
`;
    expect(parseDeb822(text)).toEqual([
      {
        uri: "http://mirror.example/debian",
        suites: ["bookworm", "bookworm-updates"],
        signedBy: "/usr/share/keyrings/debian.gpg",
      },
    ]);
  });
  it("are read from .list lines", () => {
    const text = `
deb http://mirror.example/debian bookworm main
# deb http://commented.example bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://other.example/apt ./
`;
    expect(parseOneLine(text)).toEqual([
      { uri: "http://mirror.example/debian", suites: ["bookworm"], signedBy: null },
      { uri: "https://other.example/apt", suites: ["./"], signedBy: "/k.gpg" },
    ]);
  });
});
