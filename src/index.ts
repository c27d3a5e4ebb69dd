/**
 * The front door of the library: re-exports only. Bundles for browsers get `browser.ts` under the same name.
 *
 * `forge-gpu/engine` and `forge-gpu/cluster` give the parts without the rest.
 */
export * from "./browser.ts";
export {
  type ModelDirectory,
  openModelDirectory,
  type SaveDirectoryOptions,
  saveModelDirectory,
} from "./models/directory.ts";
export { type LoadConfigOptions, type LoadedConfig, loadConfig } from "./train/config/load.ts";
export { loadEnvironment } from "./train/config/load-environment.ts";
