/** Where things are: the package, and the user's cache. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The folder of forge-gpu's own package.json, whether this file runs from a source tree or from an installed package.
 *
 * @returns {string}
 */
export function projectRoot() {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "forge-gpu") {
      return folder;
    }
    if (folder === dirname(folder))
      throw new Error("set-up: the package.json of forge-gpu was not found");
  }
}

/**
 * Whether a folder is a source tree (it can install and build itself) and not an installed package.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function isSourceTree(root) {
  return (
    existsSync(join(root, "package-lock.json")) && existsSync(join(root, "tsconfig.build.json"))
  );
}

/**
 * The folder for what the set-up brings and remembers, for this user.
 *
 * @returns {string}
 */
export function cacheFolder() {
  const base = process.env["XDG_CACHE_HOME"];
  return join(base ? base : join(homedir(), ".cache"), "forge-gpu");
}

/**
 * Whether a module is the program that Node was started with.
 *
 * @param {string} url the module's `import.meta.url`
 * @returns {boolean}
 */
export function isMain(url) {
  const program = process.argv[1];
  return program !== undefined && realpathSync(program) === realpathSync(fileURLToPath(url));
}
