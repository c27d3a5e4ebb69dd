/** Models and data that tests use where they are, and that are no part of the project. */
import { resolve } from "node:path";

/** The folder that holds them: `FORGE_ASSETS`, else `shared` beside the repository. */
export const ASSETS: string =
  process.env["FORGE_ASSETS"] ?? resolve(import.meta.dirname, "../../../shared");

/** What stands in the name of a test that is skipped because assets are absent. */
export const ABSENT = "(skipped: no ../shared and no FORGE_ASSETS)";
