/** Merged samples beside samples apart: what of the saved tokens is saved time. */
import type { Device } from "../../engine/index.ts";
import type { MeasureOptions } from "../../src/bench/measure.ts";
import { runBenchmark } from "../../src/bench/suite.ts";
import { type Outcome, outcomeOfRows } from "./outcome.ts";

export async function benchTree(device: Device, options: MeasureOptions): Promise<Outcome> {
  const section = await runBenchmark(device, "tree", options);
  const measured = section.figures?.["speed-up / tokens"] ?? Number.NaN;
  const what = "speed-up of merging, relative to the tokens saved";
  return outcomeOfRows("tree", section, [{ what, measured, bar: 0.7, unit: "×", isAtLeast: true }]);
}
