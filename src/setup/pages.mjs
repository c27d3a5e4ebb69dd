/**
 * The pages that the commands serve, bundled by esbuild into folders that any file server can serve. A program of its own, run
 * once the packages are there.
 *
 *   node src/setup/pages.mjs <dist>            all of them
 *   node src/setup/pages.mjs <dist> <source>   the one of this folder
 */
import { copyFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

/**
 * A page: the programs and styles of a folder, each bundled into one file, and beside them what else a page consists of.
 *
 * @typedef {object} Page
 * @property {string} source its folder in the source tree
 * @property {string} target its folder in `dist/`
 * @property {readonly string[]} entries
 */

/** @type {readonly Page[]} */
const PAGES = [
  { source: "src/dashboard/page", target: "src/dashboard/page", entries: ["main.tsx"] },
  { source: "examples/browser", target: "demo", entries: ["page.ts", "worker.ts", "style.css"] },
];

/** What is copied as it is. */
const STATIC = /\.(html|svg|png|woff2)$/;

const root = resolve(import.meta.dirname, "../..");
const dist = resolve(process.argv[2] ?? join(root, "dist"));

const wanted = process.argv[3];

for (const { source, target, entries } of PAGES) {
  if (wanted !== undefined && wanted !== source) continue;
  const folder = join(root, source);
  const outdir = join(dist, target);
  await build({
    ...{ absWorkingDir: root, outdir, entryPoints: entries.map((entry) => join(folder, entry)) },
    ...{ bundle: true, minify: true, charset: "utf8", logLevel: "warning" },
    // scripts, no modules: a page that was opened as a file can still say what it lacks
    ...{ format: "iife", platform: "browser" },
    target: ["es2022", "chrome113", "firefox121", "safari17.4"],
    ...{ jsx: "automatic", jsxImportSource: "preact", loader: { ".yaml": "text" } },
    // it gives the library's names to the sources that run in browsers
    tsconfig: join(root, "tsconfig.pages.json"),
  });
  for (const name of readdirSync(folder)) {
    if (STATIC.test(name)) copyFileSync(join(folder, name), join(outdir, name));
  }
}
