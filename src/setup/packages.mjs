/** The locked npm packages of a source tree. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { npm, SetUpError, tail } from "./run.mjs";

/** @typedef {Record<string, { version?: string, optional?: boolean, link?: boolean }>} Packages */

/**
 * Whether every package of package-lock.json is in node_modules at its locked version. npm itself keeps the list of what
 * it installed; optional packages (those for other platforms) may be missing from it.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function packagesAreInstalled(root) {
  const hidden = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const locked = readPackages(join(root, "package-lock.json"));
  const present = readPackages(hidden);
  return Object.entries(locked).every(([path, { version, optional }]) => {
    if (path === "") return true;
    const found = present[path];
    return found ? found.version === version : optional === true;
  });
}

/**
 * Installs the locked packages.
 *
 * @param {string} root
 * @param {(line: string) => void} say
 */
export function installPackages(root, say) {
  say("installing the locked packages (npm ci)");
  const done = npm(["ci", "--no-audit", "--no-fund"], { cwd: root });
  if (!done.ok) {
    throw new SetUpError(`npm ci failed:\n${tail(done.output)}`, "go online, then run: npm ci");
  }
}

/**
 * @param {string} file a lock file of npm
 * @returns {Packages}
 */
function readPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
}
