/** One training step: the engine and the peers. */
import type { Device } from "../../engine/index.ts";
import { decoderFlops } from "../../src/bench/decoder-data.ts";
import { type Contender, type MeasureOptions, measure } from "../../src/bench/measure.ts";
import type { Row, Target } from "../../src/bench/report.ts";
import { withRoofs } from "../../src/bench/roofs.ts";
import { TRAIN_NOTE, TRAIN_TASK } from "../../src/bench/suite.ts";
import { trainContender } from "../../src/bench/train.ts";
import { isPacedWebGpu } from "./matmul.ts";
import { type Outcome, outcomeOfRows } from "./outcome.ts";
import { Peer } from "./peers/peer.ts";

/** Measures the step. */
export async function benchTrain(
  device: Device,
  peers: readonly Peer[],
  options: MeasureOptions,
): Promise<Outcome> {
  const contenders: Contender[] = [await trainContender(device)];
  for (const peer of peers) {
    process.stderr.write(`  preparing ${peer.name}\n`);
    contenders.push(await peer.train());
  }
  const { result: summaries, roofs } = await withRoofs(device, options, () =>
    measure(contenders, { blockMs: 500, ...options }),
  );
  const rows: Row[] = summaries.map((summary) => ({
    ...summary,
    task: TRAIN_TASK,
    flops: decoderFlops(),
    isElsewhere: Peer.isElsewhere(summary.name),
  }));
  return outcomeOfRows("train", { rows, notes: [TRAIN_NOTE], roofs }, targetsOf(rows));
}

function targetsOf(rows: readonly Row[]): Target[] {
  const own = rows.find((r) => r.name === "forge-gpu")?.medianMs ?? Number.NaN;
  const against = (what: string, bar: number, isPeer: (name: string) => boolean): Target[] => {
    const times = rows.filter((r) => isPeer(r.name)).map((r) => r.medianMs);
    if (times.length === 0) return [];
    return [{ what, measured: Math.min(...times) / own, bar, unit: "×", isAtLeast: true }];
  };
  return [
    ...against("training step against the fastest WebGPU peer", 6, isPacedWebGpu),
    ...against("training step against jax-js on WASM threads", 1, (name) => name === "jax wasm"),
  ];
}
