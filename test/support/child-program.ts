/**
 * Programs of their own that tests start: sources in one bundle, since each process, and each thread in it, would take half a second
 * to load them by itself.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { buildSync, type OutputFile } from "esbuild";

const ROOT = resolve(import.meta.dirname, "../..");

/** Where the packages are found that programs import. What is there is called by what it is, and never changes. */
const CACHE = join(ROOT, "node_modules/.cache/child-programs");

/** Beside their parts, as these are in the package: a node finds its threads there. */
const THREADS = ["ring-plane/ring-thread.ts", "control-plane/node-thread.ts"].map((name) =>
  join(ROOT, "cluster", name),
);

const programs = new Map<string, string>();

/** Path of a program for Node, made of a source of `test/`. */
export function childProgram(source: string): string {
  const known = programs.get(source);
  if (known !== undefined) return known;
  const { outputFiles } = buildSync({
    ...{ absWorkingDir: ROOT, outdir: CACHE, write: false },
    entryPoints: [join(ROOT, "test", source), ...THREADS],
    ...{ bundle: true, splitting: true, entryNames: "[name]", packages: "external" },
    ...{ format: "esm", platform: "node", target: "node20", outExtension: { ".js": ".mjs" } },
    logLevel: "warning",
  });
  const program = join(keep(outputFiles), `${basename(source, ".ts")}.mjs`);
  programs.set(source, program);
  return program;
}

/** The folder where these files are: another process may have put them there. */
function keep(files: readonly OutputFile[]): string {
  const hash = createHash("sha256");
  for (const { contents } of files) hash.update(contents);
  const folder = join(CACHE, hash.digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, "draft-"));
  for (const { path, contents } of files) writeFileSync(join(draft, basename(path)), contents);
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
