/** Groups from which nothing can be learned are replaced, up to a cap. */
import { describe, expect, it } from "vitest";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import { trainHere } from "../../support/train-here.ts";
import { linesOf, tinyConfig, useFolder } from "../../support/training-run.ts";

const folder = useFolder("dynamic-sampling");

/** Two of three tasks give all of their samples the same reward. */
const environment = defineEnvironment<number>({
  name: "mostly-equal",
  tasks: { train: (index) => index },
  taskId: String,
  prompt: () => "ab>",
  maxTokens: 2,
  // the ids of four samples of the others differ; should they not, the group is dropped like any
  rewards: { varied: ({ task, replies }) => (task % 3 === 0 ? (replies[0]?.ids[0] ?? 0) : 1) },
});

async function stepsWith(
  refillCap: number,
): Promise<{ metrics: Record<string, number>[]; tasks: string[][] }> {
  const { environment: _, ...rest } = tinyConfig({
    algorithm: { name: "dapo", dynamicSampling: { refillCap } },
    rollout: { groupSize: 4, groupsPerStep: 2, slots: 2, batch: 8 },
    ...{ train: { steps: 3 }, eval: { every: 0 }, checkpoint: { every: 0 } },
  });
  const config = { ...rest, environment, reward: { speed: 0, truncated: "score" as const } };
  const { directory } = await trainHere(folder, config);
  const rollouts = linesOf(`${directory}/rollouts.jsonl`);
  return {
    metrics: linesOf(`${directory}/metrics.jsonl`) as Record<string, number>[],
    tasks: [1, 2, 3].map((step) => [
      ...new Set(rollouts.filter((r) => r["step"] === step).map((r) => String(r["task"]))),
    ]),
  };
}

describe("dynamic sampling", () => {
  it("trains on groups whose rewards differ, as long as the cap lasts", async () => {
    const { metrics, tasks } = await stepsWith(10);
    for (const own of tasks) {
      expect(own).toHaveLength(2);
      expect(own.every((task) => Number(task) % 3 === 0)).toBe(true);
    }
    for (const step of metrics) {
      expect(step["rollout/zero_variance_groups"]).toBe(0);
      expect(step["rollout/dropped_groups"]).toBeGreaterThanOrEqual(2);
    }
  });

  it("takes what there is once the cap is reached", async () => {
    const { metrics } = await stepsWith(1);
    // 2 groups a step, refilled once: at most 2 are dropped, and the others stay
    for (const step of metrics) {
      expect(step["rollout/dropped_groups"]).toBe(2);
      expect(step["rollout/groups"]).toBe(2);
    }
    expect(metrics.some((step) => Number(step["rollout/zero_variance_groups"]) > 0)).toBe(true);
  });
});
