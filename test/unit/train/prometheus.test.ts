import { describe, expect, it } from "vitest";
import { exposition, LastMetrics } from "../../../src/train/run/prometheus.ts";

describe("metrics for Prometheus", () => {
  it("are gauges by names that it takes, with what the catalogue says", () => {
    const metrics = new LastMetrics();
    expect(exposition(metrics.gauges)).toBe("");
    metrics.write(6, { "reward/mean": 1 }, 1);
    metrics.write(7, { "reward/mean": 0.25, "custom/tool-calls": 3 }, 1.7e9);
    const lines = exposition(metrics.gauges).split("\n");
    expect(lines).toContain("forge_gpu_step 7");
    expect(lines).toContain("forge_gpu_step_wall_time 1700000000");
    expect(lines).toContain(
      "# HELP forge_gpu_reward_mean mean reward of the episodes trained on; unit: reward",
    );
    expect(lines).toContain("# TYPE forge_gpu_reward_mean gauge");
    expect(lines).toContain("forge_gpu_reward_mean 0.25");
    expect(lines).toContain("forge_gpu_custom_tool_calls 3");
    expect(lines.filter((line) => line.startsWith("# HELP forge_gpu_custom"))).toEqual([]);
    expect(lines.at(-1)).toBe("");
  });

  it("may be of no number, and are of one name once", () => {
    const of = (name: string, value: number): object => ({ name, value });
    const text = exposition([
      ...[of("a", Number.NaN), of("b", Infinity), of("c", -Infinity), of("a-b", 1), of("a/b", 2)],
      { name: "d", value: 1e-9, help: "a \\ and\nan end" },
    ] as Parameters<typeof exposition>[0]);
    expect(text.split("\n").filter((line) => !line.startsWith("# TYPE"))).toEqual([
      ...["forge_gpu_a NaN", "forge_gpu_b +Inf", "forge_gpu_c -Inf", "forge_gpu_a_b 1"],
      ...["# HELP forge_gpu_d a \\\\ and\\nan end", "forge_gpu_d 1e-9", ""],
    ]);
  });
});
