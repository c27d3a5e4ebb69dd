/** The small JSON files in the user's cache that say what the set-up found or brought. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder } from "./paths.mjs";

/**
 * @param {"vulkan" | "chromium" | "nats"} name
 * @returns {any} the record, or null when there is none that can be read
 */
export function readRecord(name) {
  try {
    return JSON.parse(readFileSync(join(cacheFolder(), `${name}.json`), "utf8"));
  } catch {
    return null; // absent or torn: it is only a cache
  }
}

/**
 * @param {"vulkan" | "chromium" | "nats"} name
 * @param {object} record
 */
export function writeRecord(name, record) {
  const file = join(cacheFolder(), `${name}.json`);
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(draft, file);
}

/**
 * A digest of what files look like from outside (path, size, time of change), and of other facts.
 *
 * @param {readonly string[]} files those that do not exist count too
 * @param {readonly unknown[]} facts
 * @returns {string}
 */
export function fingerprint(files, facts = []) {
  const hash = createHash("sha256").update(JSON.stringify(facts));
  for (const file of files) {
    const seen = statSync(file, { throwIfNoEntry: false });
    hash.update(`\n${file} ${seen ? `${seen.size} ${seen.mtimeMs}` : "-"}`);
  }
  return hash.digest("hex").slice(0, 32);
}
