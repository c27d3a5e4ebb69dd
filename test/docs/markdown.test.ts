import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
/** Inside the repository, so that `forge-gpu` resolves to its sources as it does for the examples. */
const scratch = mkdtempSync(join(root, ".scratch-docs-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A fenced block: ```sh run … or ```ts …, with the words after the language. */
interface Block {
  readonly title: string;
  readonly language: string;
  readonly tags: readonly string[];
  readonly text: string;
}

const PAGES = [
  ...["README.md", "ARCHITECTURE.md"].filter((page) => existsSync(join(root, page))),
  ...readdirSync(join(root, "docs")).map((page) => join("docs", page)),
].filter((page) => page.endsWith(".md"));

const blocks: readonly Block[] = PAGES.flatMap((page) => {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```(\w+)([^\n]*)\n(.*?)^```$/gms)].map((match) => ({
    title: `${page}:${text.slice(0, match.index).split("\n").length}`,
    language: match[1] ?? "",
    tags: (match[2] ?? "").trim().split(/\s+/),
    text: match[3] ?? "",
  }));
});

/** Puts `forge-gpu` where npm would put it in a project that installed it. */
function environment(): NodeJS.ProcessEnv {
  const bin = join(scratch, "bin");
  mkdirSync(bin, { recursive: true });
  const start = `#!/bin/sh\nexec "${process.execPath}" --import "${root}/test/support/tsx-in-threads.mjs" "${root}/src/cli/main.ts" "$@"\n`;
  writeFileSync(join(bin, "forge-gpu"), start, { mode: 0o755 });
  return {
    ...process.env,
    PATH: `${bin}:${join(root, "node_modules/.bin")}:${process.env["PATH"]}`,
  };
}

function run(
  command: string,
  args: readonly string[],
  cwd = root,
): { code: number | null; output: string } {
  const done = spawnSync(command, args, { cwd, encoding: "utf8", env: environment() });
  // vitest would take stack traces in a message for its own, and look for their source maps.
  const output = `${done.stdout}${done.stderr}${done.error ?? ""}`.replace(/^ +at .*\n/gm, "");
  return { code: done.status, output };
}

describe("shell blocks tagged `run`", () => {
  const commands = blocks
    .filter(({ language, tags }) => language === "sh" && tags.includes("run"))
    .flatMap(({ title, text }) =>
      text.split("\n").map((line) => ({ title, line: line.replace(/\s*#.*/, "") })),
    )
    .filter(({ line }) => line.trim() !== "");

  // what they write stays in the scratch folder
  symlinkSync(join(root, "examples"), join(scratch, "examples"));

  it("exist", () => expect(commands).not.toEqual([]));
  it.each(commands)("$title: $line", ({ line }) => {
    const { code, output } = run("sh", ["-ec", line], scratch);
    expect(code, output).toBe(0);
  });
});

describe("TypeScript blocks", () => {
  const programs = blocks
    .filter(({ language }) => language === "ts")
    .map((block, index) => ({ ...block, file: join(scratch, `block-${index}.ts`) }));
  for (const { file, text } of programs) {
    writeFileSync(file, /^(import|export)\b/m.test(text) ? text : `${text}\nexport {};\n`);
  }

  it("compile", () => {
    if (programs.length === 0) return;
    const configuration = join(scratch, "tsconfig.json");
    const extended = {
      extends: join(root, "tsconfig.json"),
      files: programs.map(({ file }) => file),
      include: [],
    };
    const options = { noUnusedLocals: false };
    writeFileSync(configuration, JSON.stringify({ ...extended, compilerOptions: options }));
    const { code, output } = run("tsc", ["-p", configuration]);
    expect(code, output).toBe(0);
  });
  for (const { title, file } of programs.filter(({ tags }) => tags.includes("run"))) {
    it(`${title} runs`, () => {
      const { code, output } = run("tsx", ["--tsconfig", join(root, "tsconfig.json"), file]);
      expect(code, output).toBe(0);
    });
  }
});

describe("links and paths", () => {
  it.each(PAGES)("%s links to files that exist", (page) => {
    const text = readFileSync(join(root, page), "utf8");
    const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1] ?? "");
    expect(targets.filter((target) => !existsSync(join(root, dirname(page), target)))).toEqual([]);
  });
  it("README's tree names folders that exist", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const named = [...readme.matchAll(/^([\w.]+)\/ {2,}\S/gm)].map((match) => match[1] ?? "");
    expect(named).not.toEqual([]);
    expect(named.filter((name) => !readdirSync(root).includes(name))).toEqual([]);
  });
});
