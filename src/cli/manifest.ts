/** What package.json says of this package. */
import { createRequire } from "node:module";

/** Name, version and purpose, from the package.json that lies beside what runs: the sources, or what is installed. */
export const manifest = createRequire(import.meta.url)("forge-gpu/package.json") as {
  readonly version: string;
  readonly description: string;
};
