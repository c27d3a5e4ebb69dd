/** What `forge-gpu node` does. */
import { randomBytes } from "node:crypto";
import { hostname, networkInterfaces } from "node:os";
import { type LoadedConfig, loadConfig } from "../train/config/load.ts";
import { configPath } from "./config-path.ts";
import { exitCodeOf } from "./exit-code.ts";
import { printJson } from "./json.ts";
import { settingsDocument, settingsText } from "./launch/printing.ts";
import {
  type NodeSettingFlags,
  type NodeSettings,
  type NodeSettingsOptions,
  nodeSettings,
} from "./node-settings.ts";

/** Options of the command. */
export interface NodeFlags extends NodeSettingFlags {
  readonly set?: readonly string[];
  readonly adapter?: string;
  /** Of a node that another process has started: it keeps no run, and ends with its standard input. */
  readonly follow?: boolean;
  readonly printSettings?: boolean;
  readonly json?: boolean;
}

/** Runs a node until the run is done. */
export type RunClusterNode = (
  settings: NodeSettings,
  loaded: LoadedConfig,
  flags: NodeFlags,
) => Promise<void>;

/**
 * Prints the settings, or runs the node with them. What goes wrong is printed, and told to the launcher by the exit code;
 * see {@link exitCodeOf}.
 */
export async function runNode(
  path: string | undefined,
  flags: NodeFlags,
  runClusterNode: RunClusterNode,
): Promise<void> {
  try {
    const settings = nodeSettings(flags, process.env, thisMachine());
    if (flags.printSettings) {
      if (flags.json) printJson(settingsDocument(settings));
      else process.stdout.write(`${settingsText(settings)}\n`);
      return;
    }
    for (const warning of settings.warnings) process.stderr.write(`warning: ${warning}\n`);
    const loaded = await loadConfig(configPath(path), { overrides: flags.set ?? [] });
    await runClusterNode(settings, loaded, flags);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

/** This machine's name and addresses, and a number that nobody else has. */
function thisMachine(): NodeSettingsOptions {
  const interfaces = Object.entries(networkInterfaces()).map(([name, addresses = []]) => {
    const byFamily = addresses.toSorted((a, b) => a.family.localeCompare(b.family));
    return [name, byFamily.map(({ address }) => address)];
  });
  return {
    hostname: hostname(),
    interfaces: Object.fromEntries(interfaces),
    nonce: randomBytes(16).toString("hex"),
  };
}
