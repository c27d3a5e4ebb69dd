/** Brings the peers: their locked packages into this folder, and TensorFlow.js as one bundle. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installPackages, packagesAreInstalled } from "../../../src/setup/packages.mjs";

const folder = import.meta.dirname;

/** What there is to run. */
export interface InstalledPeers {
  readonly versions: { readonly jax: string; readonly tfjs: string };
  readonly tfjsBundle: string;
}

/** Installs what is missing. */
export function installPeers(say: (line: string) => void): InstalledPeers {
  if (!packagesAreInstalled(folder)) installPackages(folder, say);
  const bundle = join(folder, "node_modules", ".tfjs.cjs");
  const entry = join(folder, "node_modules", ".tfjs.mjs");
  if (!existsSync(bundle)) {
    say("bundling TensorFlow.js");
    writeFileSync(entry, TFJS_ENTRY);
    const done = spawnSync(
      process.execPath,
      [
        join(folder, "node_modules", "esbuild", "bin", "esbuild"),
        entry,
        "--bundle",
        "--platform=node",
        "--format=cjs",
        "--main-fields=module,main",
        `--outfile=${bundle}`,
        "--log-level=error",
      ],
      { encoding: "utf8" },
    );
    if (done.status !== 0) throw new Error(`esbuild failed:\n${done.stdout}${done.stderr}`);
  }
  const versions = { jax: version("@jax-js/jax"), tfjs: version("@tensorflow/tfjs-core") };
  return { versions, tfjsBundle: bundle };
}

/** Gradients are registered only by the file that the first line names. */
const TFJS_ENTRY = `import "@tensorflow/tfjs-core/dist/register_all_gradients";
import "@tensorflow/tfjs-backend-webgpu";
export * as tf from "@tensorflow/tfjs-core";
`;

function version(name: string): string {
  const manifest = join(folder, "node_modules", name, "package.json");
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
