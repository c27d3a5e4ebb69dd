/** Environments in modules of their own. */
import { resolve } from "node:path";
import { ForgeError } from "../../../engine/error.ts";
import type { Environment } from "../../agent/environment.ts";
import { importModule } from "./import-module.ts";
import { isEnvironment } from "./schema.ts";

/**
 * The environment that a module exports as `environment` or as its default.
 *
 * @param path of a module in TypeScript or JavaScript, from the working directory
 * @throws ForgeError `config_invalid` when it cannot be imported or exports none
 */
export async function loadEnvironment(path: string): Promise<Environment> {
  const file = resolve(path);
  const exports = await importModule(file);
  const found = [exports["environment"], exports["default"]].find(isEnvironment);
  if (found) return found;
  const names = Object.keys(exports).filter((name) => name !== "__esModule");
  throw new ForgeError({
    code: "config_invalid",
    what: `${file} exports no environment.`,
    got: names.length > 0 ? `exports ${names.join(", ")}` : "no exports",
    why: "an environment is what defineEnvironment returns, exported as `environment` or as the default",
    fix: "write: export const environment = defineEnvironment({ … })",
  });
}
