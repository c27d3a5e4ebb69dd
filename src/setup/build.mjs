/** Builds `dist/` from a source tree: embedded shaders, compiled TypeScript, the pages, and the set-up itself. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { embedShaders } from "./embed-shaders.mjs";
import { isMain, projectRoot } from "./paths.mjs";
import { fingerprint } from "./records.mjs";
import { run, SetUpError, tail } from "./run.mjs";

const SOURCES = ["src", "engine", "cluster", "shaders", "examples"];
const SOURCE = /\.(tsx?|mjs|wgsl|html|css|svg|yaml)$/;
const CONFIGURATION = [
  "package.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "tsconfig.pages.json",
];
const STAMP = "dist/.stamp";

/**
 * Whether `dist/` was built from the sources as they are now.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function isBuilt(root) {
  const stamp = join(root, STAMP);
  return existsSync(stamp) && readFileSync(stamp, "utf8") === sourcesKey(root);
}

/**
 * Builds into a folder aside, then puts it in the place of `dist/`, so that nobody sees half of it.
 *
 * Types are not checked: `npm run check` is where they count.
 *
 * @param {string} root
 * @param {(line: string) => void} say
 * @throws {SetUpError} when the compiler emits nothing, or a page cannot be bundled
 */
export function build(root, say) {
  say("building dist/");
  embedShaders(root);
  const key = sourcesKey(root);
  const draft = join(root, "node_modules", ".forge-gpu", `dist-${process.pid}`);
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const flags = ["-p", "tsconfig.build.json", "--noCheck", "--outDir", draft];
  const done = run(process.execPath, [tsc, ...flags], { cwd: root });
  if (!existsSync(join(draft, "src", "cli", "main.js"))) {
    throw new SetUpError(
      `the build failed:\n${tail(done.output)}`,
      "npx tsc -p tsconfig.build.json",
    );
  }
  rewriteImports(draft);
  chmodSync(join(draft, "src", "cli", "main.js"), 0o755);
  const pages = run(process.execPath, [join(root, "src", "setup", "pages.mjs"), draft]);
  if (!pages.ok) {
    throw new SetUpError(
      `the pages cannot be bundled:\n${tail(pages.output)}`,
      "node src/setup/pages.mjs",
    );
  }
  mkdirSync(join(draft, "src", "setup"), { recursive: true });
  for (const name of readdirSync(join(root, "src", "setup"))) {
    if (name.endsWith(".mjs")) {
      copyFileSync(join(root, "src", "setup", name), join(draft, "src", "setup", name));
    }
  }
  writeFileSync(join(draft, ".stamp"), key);

  const dist = join(root, "dist");
  const old = `${draft}-old`;
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(draft, dist);
  rmSync(old, { recursive: true, force: true });
}

/**
 * Dynamic imports of `.ts` become those of `.js`. TypeScript does that itself, but not in functions with `using`.
 *
 * @param {string} folder
 */
function rewriteImports(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  for (const name of names.filter((each) => each.endsWith(".js"))) {
    const path = join(folder, name);
    const text = readFileSync(path, "utf8");
    const rewritten = text.replace(/\bimport\("(\.[^"]+)\.ts"\)/g, 'import("$1.js")');
    if (rewritten !== text) writeFileSync(path, rewritten);
  }
}

/** @param {string} root */
function sourcesKey(root) {
  const files = SOURCES.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => SOURCE.test(name) && !name.endsWith("shader-sources.ts"))
      .sort()
      .map((name) => join(root, folder, name)),
  );
  return fingerprint([...files, ...CONFIGURATION.map((file) => join(root, file))]);
}

if (isMain(import.meta.url)) {
  build(projectRoot(), (line) => process.stdout.write(`${line}\n`));
}
