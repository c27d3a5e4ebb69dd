/** Modules of the user, in TypeScript or JavaScript. */
import { createJiti } from "jiti";
import { ForgeError } from "../../../engine/error.ts";

/** What a module exports, by name. */
export type Exports = Readonly<Record<string, unknown>>;

/** The public names, and where their modules are as seen from here, less the extension. */
const FRONT_DOORS = {
  "forge-gpu": "../../index",
  "forge-gpu/engine": "../../../engine/index",
  "forge-gpu/cluster": "../../../cluster/index",
};

/**
 * Imports a module, in TypeScript too: Node 20 cannot by itself.
 *
 * What the module imports as `forge-gpu` is this very copy of it, whatever is installed beside the module. A second copy
 * would have another default device, and its tensors would fit into no graph of this one.
 *
 * @param file absolute path
 * @throws ForgeError `config_invalid` when it cannot be imported; `cause` is the reason
 */
export async function importModule(file: string): Promise<Exports> {
  const virtualModules = await frontDoors();
  try {
    const jiti = createJiti(file, { virtualModules, fsCache: false, interopDefault: false });
    return Object(await jiti.import(file)) as Exports;
  } catch (error) {
    throw new ForgeError({
      code: "config_invalid",
      what: `${file} cannot be imported.`,
      got: error instanceof Error ? error.message : String(error),
      fix: "correct the module; imports of packages are looked for from its folder",
      cause: error,
    });
  }
}

/** By URL, since these modules export this one: named, the import would be a cycle. */
async function frontDoors(): Promise<Record<string, unknown>> {
  const here = import.meta.url;
  const extension = here.slice(here.lastIndexOf("."));
  const load = async ([name, path]: readonly [string, string]): Promise<[string, unknown]> => [
    name,
    await import(new URL(`${path}${extension}`, here).href),
  ];
  const own = await Promise.all(Object.entries(FRONT_DOORS).map(load));
  // inputs of tools are schemas of this copy, and need not be installed beside the module
  return { ...Object.fromEntries(own), zod: await import("zod") };
}
