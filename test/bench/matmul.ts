/** Products: the engine, the best kernel of our research, and the peers. */
import type { Device } from "../../engine/index.ts";
import {
  type MatmulSpec,
  matmulContender,
  matmulFlops,
  matmulName,
  matmulSpecs,
} from "../../src/bench/matmul.ts";
import {
  type Contender,
  type MeasureOptions,
  measure,
  type Summary,
} from "../../src/bench/measure.ts";
import type { Row, Target } from "../../src/bench/report.ts";
import { withRoofs } from "../../src/bench/roofs.ts";
import { bestMatmulContender, suitsBestMatmul } from "./best-matmul.ts";
import { type Outcome, outcomeOfRows } from "./outcome.ts";
import { Peer } from "./peers/peer.ts";

/** Measures all products. */
export async function benchMatmul(
  device: Device,
  peers: readonly Peer[],
  options: MeasureOptions,
): Promise<Outcome> {
  const { result: rows, roofs } = await withRoofs(device, options, () =>
    measureProducts(device, peers, options),
  );
  return outcomeOfRows("matmul", { rows, roofs }, targetsOf(device, rows));
}

async function measureProducts(
  device: Device,
  peers: readonly Peer[],
  options: MeasureOptions,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const specs of bySize(matmulSpecs(device))) {
    const entries: { readonly spec: MatmulSpec; readonly contender: Contender }[] = [];
    for (const spec of specs) {
      process.stderr.write(`  ${matmulName(spec)}\n`);
      const contenders = [await matmulContender(device, spec)];
      if (suitsBestMatmul(device, spec)) contenders.push(await bestMatmulContender(device, spec));
      for (const peer of spec.precision === "f16" ? [] : peers) {
        contenders.push(await peer.matmul(spec));
      }
      entries.push(...contenders.map((contender) => ({ spec, contender })));
    }
    const summaries = await measure(
      entries.map((e) => e.contender),
      options,
    );
    entries.forEach(({ spec }, i) => {
      const summary = summaries[i] as Summary;
      const isElsewhere = Peer.isElsewhere(summary.name);
      rows.push({ ...summary, task: matmulName(spec), flops: matmulFlops(spec), isElsewhere });
    });
  }
  return rows;
}

/** Products of one size, in all modes: they are compared with each other, and so measured in the same rounds. */
function bySize(specs: readonly MatmulSpec[]): MatmulSpec[][] {
  const groups = new Map<string, MatmulSpec[]>();
  for (const spec of specs) {
    const key = matmulName({ ...spec, mode: "NN" });
    groups.set(key, [...(groups.get(key) ?? []), spec]);
  }
  return [...groups.values()];
}

function targetsOf(device: Device, rows: readonly Row[]): Target[] {
  const targets: Target[] = [];
  const squares = matmulSpecs(device).filter(
    ({ m, n, k, precision }) => m === n && n === k && precision !== "f16",
  );
  const median = (task: string, name: string): number | undefined =>
    rows.find((r) => r.task === task && r.name === name)?.medianMs;
  const compare = (what: string, other: number | undefined, own: number, bar: number): void => {
    if (other === undefined || !Number.isFinite(other)) return;
    targets.push({ what, measured: other / own, bar, unit: "×", isAtLeast: true });
  };
  for (const spec of squares) {
    const task = matmulName(spec);
    const own = median(task, "forge-gpu") ?? Number.NaN;
    compare(`${task} against best-matmul`, median(task, "best-matmul"), own, 0.85);
    if (spec.mode === "NN") {
      const peers = rows.filter((r) => r.task === task && isPacedWebGpu(r.name));
      const fastest = Math.min(...peers.map((r) => r.medianMs));
      compare(`${task} against the fastest WebGPU peer`, fastest, own, 6);
    } else {
      const straight: MatmulSpec = { ...spec, mode: "NN" };
      compare(`${task} against NN`, median(matmulName(straight), "forge-gpu"), own, 0.75);
    }
  }
  return targets;
}

/** Whether a row is of a WebGPU peer that waits as forge-gpu does. */
export function isPacedWebGpu(name: string): boolean {
  return name.endsWith(" webgpu");
}
