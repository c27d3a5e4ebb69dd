/**
 * `npm run bench -- [matmul] [attention] [train] [tree] [rollout] [dispatch] [readback] [compile]`: measures the engine, beside the best we know.
 *
 *   --peers         matmul and train beside TensorFlow.js and jax-js too (installed on first use)
 *   --rounds n      blocks for each figure (7)
 *   --patience s    how long to wait for a quiet machine before each block (3)
 *   --json          one JSON document on stdout instead of Markdown
 *
 * Every contender shows first that its result is right. Blocks of contenders alternate. A block is clean when the rest of
 * the machine used less than 0.15 cores meanwhile; medians are of clean blocks where there are three.
 */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { type Device, openDevice, setDefaultDevice } from "../../engine/index.ts";
import { machineOf, machineText } from "../../src/bench/machine.ts";
import type { MeasureOptions } from "../../src/bench/measure.ts";
import { targetsText } from "../../src/bench/report.ts";
import { runBenchmark } from "../../src/bench/suite.ts";
import { benchCompile } from "./compile.ts";
import { benchMatmul } from "./matmul.ts";
import { type Outcome, outcomeOfRows } from "./outcome.ts";
import { installPeers } from "./peers/install.ts";
import { Peer } from "./peers/peer.ts";
import { benchReadback } from "./readback.ts";
import { benchRollout } from "./rollout.ts";
import { benchTrain } from "./train.ts";
import { benchTree } from "./tree.ts";

/** All benchmarks, in the order in which they run. */
const BENCHMARKS: Readonly<
  Record<
    string,
    (device: Device, peers: readonly Peer[], options: MeasureOptions) => Promise<Outcome>
  >
> = {
  matmul: benchMatmul,
  attention: async (device, _peers, options) => {
    return outcomeOfRows("attention", await runBenchmark(device, "attention", options));
  },
  train: benchTrain,
  tree: async (device, _peers, options) => benchTree(device, options),
  rollout: async (device, _peers, options) => benchRollout(device, options),
  dispatch: async (device, _peers, options) => {
    const section = await runBenchmark(device, "dispatch", options);
    const script = section.rows[0]?.medianMs ?? Number.NaN;
    const what = "JavaScript of a dispatch";
    const target = { what, measured: 1000 * script, bar: 5, unit: "µs", isAtLeast: false };
    return outcomeOfRows("dispatch", section, [target]);
  },
  readback: (device, _peers, options) => benchReadback(device, options),
  compile: async (_device, _peers, options) => benchCompile(options),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peers: { type: "boolean", default: false },
    rounds: { type: "string", default: "7" },
    patience: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);
for (const name of names) {
  if (!(name in BENCHMARKS)) throw new Error(`there is no benchmark "${name}"`);
}

using device = await openDevice();
setDefaultDevice(device);
const require = createRequire(import.meta.url);
const versionOf = (name: string): string =>
  (require(`${name}/package.json`) as { readonly version: string }).version;
const versions: Record<string, string> = {
  "forge-gpu": `${versionOf("forge-gpu")} at ${commit()}`,
  webgpu: versionOf("webgpu"),
};
const peers = values.peers ? startPeers(versions) : [];
const print = (text: string): void => {
  if (!values.json) process.stdout.write(`${text}\n\n`);
};
const machine = machineOf(device, versions);
print(machineText(machine));
const options = {
  rounds: Number(values.rounds),
  patienceMs: 1000 * Number(values.patience),
};
const outcomes: Outcome[] = [];
for (const name of names) {
  process.stderr.write(`${name} …\n`);
  const outcome = await BENCHMARKS[name]?.(device, peers, options);
  if (!outcome) continue;
  outcomes.push(outcome);
  print(`### ${outcome.title}\n\n${outcome.text}`);
}
const targets = outcomes.flatMap((o) => o.targets);
if (targets.length > 0) print(`### bars\n\n${targetsText(targets)}`);
if (values.json) {
  const benchmarks = outcomes.map(({ title, data }) => ({ title, data }));
  process.stdout.write(`${JSON.stringify({ machine, benchmarks, targets }, null, 2)}\n`);
}
for (const peer of peers) peer[Symbol.dispose]();

/** The commit, and whether the tree differs from it. */
function commit(): string {
  const git = (...args: string[]): string => execFileSync("git", args, { encoding: "utf8" }).trim();
  return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") ? " with changes" : ""}`;
}

/** One process for each way of running a peer: as shipped, and waiting as forge-gpu does. */
function startPeers(noted: Record<string, string>): Peer[] {
  const { versions: installed, tfjsBundle } = installPeers((line) =>
    process.stderr.write(`${line}\n`),
  );
  noted["TensorFlow.js"] = installed.tfjs;
  noted["jax-js"] = installed.jax;
  const toggles = device.toggles.filter((toggle) => /^\w+$/.test(toggle));
  const peer = (engine: "tfjs" | "jax", backend: "webgpu" | "wasm", isPaced: boolean): Peer =>
    new Peer({ engine, backend, isPaced, toggles, version: installed[engine], bundle: tfjsBundle });
  return [
    peer("tfjs", "webgpu", true),
    peer("jax", "webgpu", true),
    peer("tfjs", "webgpu", false),
    peer("jax", "webgpu", false),
    peer("jax", "wasm", true),
  ];
}
