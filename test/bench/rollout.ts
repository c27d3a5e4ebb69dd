/** Sampling, beside the bars that it is held to. */
import type { Device } from "../../engine/index.ts";
import type { MeasureOptions } from "../../src/bench/measure.ts";
import type { Row, Target } from "../../src/bench/report.ts";
import { runBenchmark } from "../../src/bench/suite.ts";
import { type Outcome, outcomeOfRows } from "./outcome.ts";

export async function benchRollout(device: Device, options: MeasureOptions): Promise<Outcome> {
  const section = await runBenchmark(device, "rollout", options);
  const row = (task: string): Row | undefined => section.rows.find((r) => r.task === task);
  const rate = (task: string): number => {
    const { tokens = Number.NaN, medianMs = Number.NaN } = row(task) ?? {};
    return (1000 * tokens) / medianMs;
  };
  const targets: Target[] = [
    {
      what: "stories260K, tokens of batch 32 over batch 1",
      measured: rate("stories260K, decode, batch 32") / rate("stories260K, decode, batch 1"),
      bar: 12,
      unit: "×",
      isAtLeast: true,
    },
    {
      what: "0.8 M, batch 32, share of the host",
      measured: 100 * (row("0.8 M, decode, batch 32")?.hostShare ?? Number.NaN),
      bar: 20,
      unit: "%",
      isAtLeast: false,
    },
  ];
  const large = "Qwen2.5-0.5B, f16, decode, batch";
  for (const [batch, bar] of [
    [1, 150],
    [64, 3000],
  ] as const) {
    const task = `${large} ${batch}`;
    if (row(task))
      targets.push({ what: task, measured: rate(task), bar, unit: "/s", isAtLeast: true });
  }
  return outcomeOfRows("rollout", section, targets);
}
