/** Which configuration a command means that is given none. */
import { existsSync } from "node:fs";
import { ForgeError } from "../../engine/index.ts";

/** Names that are looked for in the working directory, the first found. */
const NAMES = ["forge.yaml", "forge.yml", "forge.json", "forge.config.ts", "forge.config.js"];

/** How help speaks of it. */
export const CONFIG_ARGUMENT =
  "configuration: YAML, JSON, or a module in TypeScript or JavaScript (default: forge.yaml here)";

/** The path that was given, or that of the configuration of this folder. Errors: `config_invalid` where there is none. */
export function configPath(given: string | undefined): string {
  const path = given ?? NAMES.find((name) => existsSync(name));
  if (path !== undefined) return path;
  throw new ForgeError({
    code: "config_invalid",
    what: "there is no configuration here.",
    got: `none of ${NAMES.join(", ")} in ${process.cwd()}`,
    fix: "name one, or begin a project with `forge-gpu init my-agent`",
  });
}
