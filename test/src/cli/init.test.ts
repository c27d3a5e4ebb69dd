import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { parse } from "yaml";
import type { ForgeError } from "../../../engine/error.ts";
import { type InitFlags, initialise } from "../../../src/cli/initialising.ts";
import { parseConfig } from "../../../src/train/config/parse.ts";
import { forgeGpu } from "../../support/command.ts";
import { errorOf } from "../../support/errors.ts";
import { useFolder } from "../../support/training-run.ts";

const folder = useFolder("init");
const STARTER = [
  ".gitignore",
  "README.md",
  "agent.ts",
  "forge.yaml",
  "package.json",
  "tsconfig.json",
];

/** What it prints on stdout. */
async function printed(path: string, flags: Partial<InitFlags> = {}): Promise<string> {
  const written: string[] = [];
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  try {
    await initialise(path, { install: false, ...flags });
  } finally {
    spy.mockRestore();
  }
  return written.join("");
}

function manifestOf(path: string): Record<string, Record<string, string>> {
  return JSON.parse(readFileSync(join(path, "package.json"), "utf8"));
}

describe("forge-gpu init", () => {
  it("makes a project that can be trained, and says how", async () => {
    const path = join(folder, "my agent");
    const text = await printed(path);
    expect(readdirSync(path).sort()).toEqual(STARTER);
    expect(text).toMatch(/cd '.*my agent' && npm install && npx forge-gpu train\n$/);
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(manifestOf(path)).toMatchObject({
      name: "my-agent",
      dependencies: { "forge-gpu": `^${version}`, zod: "^4.0.0" },
    });
    const config = parse(readFileSync(join(path, "forge.yaml"), "utf8"));
    expect(parseConfig(config, { name: "forge" }).environment).toBe("./agent.ts");
  });

  it.each([
    ["Ünï", "n-"],
    ["_.x", "x"],
    ["...", "agent"],
  ])("gives %j the package name %j", async (name, expected) => {
    const path = join(folder, name);
    await printed(path);
    expect(manifestOf(path)["name"]).toBe(expected);
  });

  it("depends on a tarball, wherever it is called, or on a version", async () => {
    const tarball = join(folder, "forge-gpu.tgz");
    writeFileSync(tarball, "");
    for (const [spec, expected] of [
      [tarball, `file:${tarball}`],
      ["0.0.1", "0.0.1"],
    ] as const) {
      const path = join(folder, spec === tarball ? "of-a-tarball" : "of-a-version");
      await printed(path, { package: spec });
      expect(manifestOf(path)["dependencies"]?.["forge-gpu"]).toBe(expected);
    }
  });

  it("prints one JSON document with --json", async () => {
    const path = join(folder, "json");
    const said = JSON.parse(await printed(path, { json: true }));
    expect(said).toMatchObject({ directory: path, installed: false });
    expect(said.files.sort()).toEqual(STARTER);
  });

  it("writes over nothing, and where nothing can be", async () => {
    const path = join(folder, "full");
    mkdirSync(path);
    writeFileSync(join(path, "mine"), "all of it");
    const file = join(path, "mine");
    for (const place of [path, file, join(file, "below")]) {
      expect(await errorOf(printed(place))).toMatchObject({ code: "argument_invalid" });
    }
    expect(readdirSync(path)).toEqual(["mine"]);
    expect(readFileSync(file, "utf8")).toBe("all of it");
  });

  it("takes the empty folder that it is called in, from which training then starts", async () => {
    const path = join(realpathSync(folder), "here");
    mkdirSync(path);
    const commands = [["train"], ["eval", "--run"]];
    for (const empty of await Promise.all(commands.map((args) => forgeGpu(args, "", path)))) {
      expect(empty).toMatchObject({ code: 2, stdout: "" });
      expect(empty.stderr).toMatch(/forge\.yaml.*\n.*forge-gpu init/);
    }
    const { code, stdout, stderr } = await forgeGpu(["init", ".", "--no-install"], "", path);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/\nnpm install && npx forge-gpu train\n$/);
    // the configuration is found, and its agent
    const config = await forgeGpu(["train", "--print-config"], "", path);
    expect(config.stderr).toBe("");
    expect(parse(config.stdout)).toMatchObject({ name: "prices", environment: "./agent.ts" });
  });
});

describe("npm install in a new project", () => {
  /** Puts a program of this name before all others. */
  function useNpm(name: string, script: string): void {
    const place = join(folder, name);
    mkdirSync(place);
    const npm = join(place, "npm");
    writeFileSync(npm, `#!/bin/sh\n${script}\n`);
    chmodSync(npm, 0o755);
    const path = process.env["PATH"];
    process.env["PATH"] = [place, path].join(delimiter);
    onTestFinished(() => {
      process.env["PATH"] = path;
    });
  }

  it.skipIf(process.platform === "win32")("is run in it", async () => {
    useNpm("npm-that-works", 'echo "$@" > installed');
    const path = join(folder, "installed");
    const text = await printed(path, { install: true });
    expect(readFileSync(join(path, "installed"), "utf8")).toMatch(/^install /);
    expect(text).toMatch(/installed && npx forge-gpu train\n$/);
  });

  it.skipIf(process.platform === "win32")(
    "that fails is an error, and the project is there",
    async () => {
      useNpm("npm-that-fails", "exit 7");
      const path = join(folder, "not installed");
      const error = (await errorOf(printed(path, { install: true }))) as ForgeError;
      expect(error.code).toBe("install_failed");
      expect(error.message).toContain("exit code 7");
      expect(error.message).toContain(`cd '${path}' && npm install`);
      expect(readdirSync(path).sort()).toEqual(STARTER);
    },
  );

  it("that is not there is an error too", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = dirname(folder);
    onTestFinished(() => {
      process.env["PATH"] = path;
    });
    const error = (await errorOf(
      printed(join(folder, "without-npm"), { install: true }),
    )) as ForgeError;
    expect(error.code).toBe("install_failed");
    expect(error.message).toContain("ENOENT");
  });
});
