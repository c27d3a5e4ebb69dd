/** What `forge-gpu init` does. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { ForgeError } from "../../engine/index.ts";
import { printJson } from "./json.ts";
import { manifest } from "./manifest.ts";
import { shellWord } from "./shell-word.ts";

/** Options of the command. */
export interface InitFlags {
  readonly package?: string;
  readonly install: boolean;
  readonly json?: boolean;
}

/** Files of the starter that a project has as they are; npm packs no .gitignore under its name. */
const FILES = {
  "agent.ts": "agent.ts",
  "forge.yaml": "forge.yaml",
  "README.md": "README.md",
  "tsconfig.json": "tsconfig.json",
  gitignore: ".gitignore",
};

/**
 * Makes the project, in a directory that is there already, too: the working directory stays what it is.
 *
 * Errors    `argument_invalid` for a directory with something in it, or that cannot be made; `install_failed`.
 */
export async function initialise(path: string, flags: InitFlags): Promise<void> {
  const directory = resolve(path);
  if ((await namesIn(directory)).length > 0) throw unusable(path, "it is not empty");
  await write(directory, projectManifest(basename(directory), flags.package));
  if (flags.install) await install(directory);
  const place = relative(process.cwd(), directory);
  const next = [...(place === "" ? [] : [`cd ${shellWord(place)}`]), "npx forge-gpu train"];
  const files = [...Object.values(FILES), "package.json"];
  if (flags.json) printJson({ directory, files, installed: flags.install, next });
  else process.stdout.write(`${madeText(path, flags.install, next)}\n`);
}

/** What is in a directory, which is made where it is not there. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    await mkdir(directory, { recursive: true });
    return await readdir(directory);
  } catch (error) {
    throw unusable(directory, (error as Error).message);
  }
}

/** Writes all files aside, and puts them in their places when they are there. */
async function write(directory: string, manifestText: string): Promise<void> {
  const starter = join(
    dirname(createRequire(import.meta.url).resolve("forge-gpu/package.json")),
    "examples/starter",
  );
  const draft = join(directory, `.draft-${process.pid}`);
  await mkdir(draft);
  try {
    for (const [from, to] of Object.entries(FILES))
      await copyFile(join(starter, from), join(draft, to));
    await writeFile(join(draft, "package.json"), manifestText);
    for (const name of await readdir(draft)) await rename(join(draft, name), join(directory, name));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

function projectManifest(name: string, spec = `^${manifest.version}`): string {
  const isFile = existsSync(spec);
  const text = {
    // npm takes lower case only
    name:
      name
        .toLowerCase()
        .replace(/[^a-z0-9._-]+/g, "-")
        .replace(/^[._-]+/, "") || "agent",
    private: true,
    type: "module",
    scripts: {
      train: "forge-gpu train",
      eval: "forge-gpu eval --run",
      dashboard: "forge-gpu dashboard",
    },
    dependencies: { "forge-gpu": isFile ? `file:${resolve(spec)}` : spec, zod: "^4.0.0" },
  };
  return `${JSON.stringify(text, null, 2)}\n`;
}

async function install(directory: string): Promise<void> {
  process.stderr.write("installing packages\n");
  const args = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
  // npm is a script on Windows, which only a shell starts
  const shell = process.platform === "win32";
  const child = spawn("npm", args, { cwd: directory, shell, stdio: ["ignore", 2, 2] });
  const code = await new Promise<number | Error>((resolve) => {
    child.on("error", resolve);
    child.on("close", (status) => resolve(status ?? 1));
  });
  if (code === 0) return;
  throw new ForgeError({
    code: "install_failed",
    what: "the project is there, and npm could not install its packages.",
    got: code instanceof Error ? code.message : `exit code ${code}`,
    fix: `cd ${shellWord(directory)} && npm install`,
  });
}

function madeText(path: string, isInstalled: boolean, next: readonly string[]): string {
  return [
    `${path}/`,
    "  agent.ts      the agent: tasks, tools, rewards",
    "  forge.yaml    what is trained, by which algorithm, for how long",
    "  README.md     what to do next",
    "",
    [...next.slice(0, -1), ...(isInstalled ? [] : ["npm install"]), ...next.slice(-1)].join(" && "),
  ].join("\n");
}

function unusable(directory: string, why: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "no project can be made there: init writes over nothing.",
    got: directory,
    why,
    fix: "name another directory",
  });
}
