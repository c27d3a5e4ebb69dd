/** Where a model lies that is given by a directory or by its name on a hub. */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { ForgeError } from "../../engine/index.ts";
import { cachedModel } from "./cache.ts";
import { parseHubName } from "./name.ts";

/**
 * The directory of a model: `nameOrDirectory` itself where it is a directory with a config.json, else that of a model
 * that has been pulled under the name, `org/name` or `org/name@revision`. The hub is not asked.
 *
 * @param from where relative paths are meant from. Default: the working directory, and paths stay as they are.
 *
 * Throws `model_not_found`.
 */
export function resolveModelDirectory(nameOrDirectory: string, from?: string): string {
  const path = from === undefined ? nameOrDirectory : resolve(from, nameOrDirectory);
  if (existsSync(join(path, "config.json"))) return path;
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const name = isName(nameOrDirectory) ? parseHubName(nameOrDirectory) : undefined;
  const cached = name && cachedModel(name.id, name.revision);
  if (cached !== undefined) return cached;
  throw new ForgeError({
    code: "model_not_found",
    what: `there is no model ${JSON.stringify(nameOrDirectory)}`,
    got: isDirectory
      ? "a directory without a config.json"
      : "no such directory, and none in the cache",
    fix:
      name && !isDirectory
        ? `give the directory of a model, or run: forge-gpu pull ${nameOrDirectory}`
        : "give the directory of a model, or its name on the hub as in Qwen/Qwen3-0.6B",
  });
}

function isName(text: string): boolean {
  try {
    parseHubName(text);
    return true;
  } catch {
    return false;
  }
}
