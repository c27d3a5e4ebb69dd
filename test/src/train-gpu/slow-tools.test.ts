/** Agents that wait for the world: training goes on meanwhile, and no agent holds it up for ever. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { Environment } from "../../../src/agent/environment.ts";
import type { TrainConfigInput } from "../../../src/train/config/types.ts";
import { NotedView, trainHere } from "../../support/train-here.ts";
import { linesOf, tinyConfig, useFolder } from "../../support/training-run.ts";

const folder = useFolder("slow");

/** Two requests with a tool between them. */
function withTool(
  tool: (task: number, signal: AbortSignal) => Promise<unknown>,
): Environment<number> {
  return defineEnvironment<number>({
    name: "tools",
    tasks: { train: (index) => index },
    maxTokens: 4,
    play: async ({ task, policy, signal }) => {
      await policy.generate({ prompt: "ab>" });
      await tool(task, signal);
      await policy.generate({ append: "=" });
    },
    rewards: { length: ({ replies }) => replies[0]?.ids[0] ?? 0 },
  });
}

function config(rollout: NonNullable<TrainConfigInput["rollout"]>): TrainConfigInput {
  const { environment: _, ...rest } = tinyConfig({
    ...{ rollout, train: { steps: 12 }, eval: { every: 0 }, checkpoint: { every: 4 } },
  });
  return { ...rest, reward: { truncated: "score", speed: 0 } };
}

describe("tools that take 50 to 300 ms", () => {
  it("do not hold up steps on groups that are there; the lag stays within its bound", async () => {
    let pending = 0;
    let calls = 0;
    const environment = withTool(async (task) => {
      pending++;
      calls++;
      await sleep(50 + ((task * 97) % 251));
      pending--;
    });
    const view = new NotedView();
    const waiting: number[] = [];
    view.onPhase = (phase) => {
      if (phase.startsWith("training")) waiting.push(pending);
    };
    const rollout = { groupSize: 2, groupsPerStep: 2, slots: 16, window: 8, batch: 16 };
    const { directory, nondeterminism, ended } = await trainHere(
      folder,
      { ...config(rollout), environment },
      { view },
    );
    expect(ended).toBe("done");
    expect(waiting).toHaveLength(12);
    // none, if they held steps up; how many depends on what else the machine does
    expect(waiting.filter((tools) => tools > 0).length).toBeGreaterThan(2);
    // a checkpoint does not begin them again
    expect(calls).toBeLessThanOrEqual(2 * (12 * 2 + 16));
    expect(nondeterminism.join()).toContain('environment "tools" is not declared pure');
    expect(view.said.join()).toContain("not deterministic");
    const lines = linesOf(`${directory}/metrics.jsonl`);
    const lags = lines.map((line) => Number(line["lag/max"]));
    expect(lines.map((line) => line["lag/bound"])).toEqual(lines.map(() => (16 + 8 - 2) / 2));
    expect(Math.max(...lags)).toBeLessThanOrEqual((16 + 8 - 2) / 2);
    expect(Math.max(...lags)).toBeGreaterThan(0);
  });

  it("FEATURE 8: a pool without room makes agents wait, and nobody for ever", async () => {
    const environment = withTool((task) => sleep(5 * (task % 4)));
    const rollout = { slots: 8, window: "greedy", poolCapacityTokens: 1 } as const;
    const { ended } = await trainHere(folder, { ...config(rollout), environment });
    expect(ended).toBe("done");
  });

  it.each(["strict", 0.3, "greedy"] as const)(
    "FEATURE 12: window %s: steps take groups within it",
    async (window) => {
      const environment = withTool((task) => sleep(task % 3 === 0 ? 60 : 5));
      const rollout = { slots: 8, window };
      const { directory } = await trainHere(folder, { ...config(rollout), environment });
      const steps = new Map<number, Set<number>>();
      for (const line of linesOf(`${directory}/rollouts.jsonl`)) {
        const step = Number(line["step"]);
        steps.set(step, (steps.get(step) ?? new Set()).add(Number(line["group"])));
      }
      const order = [...steps.values()].flatMap((groups) => [...groups]);
      const width = window === "strict" ? 1 : window === "greedy" ? Infinity : 2;
      order.forEach((group, position) => {
        expect(Math.abs(position - group)).toBeLessThanOrEqual(Math.max(width - 1, 0));
      });
      expect(order).toHaveLength(24);
      // the slow ones are passed by those that come after them, where they may
      const isInOrder = order.every((group, position) => group === position);
      expect(isInOrder).toBe(window === "strict");
    },
  );
});

describe("an agent that hangs", () => {
  const hangs = (task: number): Promise<unknown> =>
    // deaf to its signal too
    task % 5 === 1 ? new Promise(() => {}) : sleep(5);

  it("FEATURE 11: at the head: the group's deadline passes over it, and steps go on", async () => {
    const rollout = { slots: 4, window: "strict", groupDeadlineMs: 300 } as const;
    const view = new NotedView();
    const { ended } = await trainHere(
      folder,
      { ...config(rollout), environment: withTool(hangs) },
      { view },
    );
    expect(ended).toBe("done");
    const failed = [...view.steps.values()].map((metrics) => metrics["rollout/failed_groups"] ?? 0);
    expect(failed.reduce((sum, groups) => sum + groups, 0)).toBeGreaterThanOrEqual(4);
  });

  it("at a held-out task: is cancelled after the episode's time, and counts as a failure", async () => {
    const environment = { ...withTool(hangs), eval: [0, 1] };
    const { after } = await trainHere(folder, {
      ...config({ episodeTimeoutMs: 300 }),
      ...{ environment, train: { steps: 1, tokenBudget: 512 }, eval: { every: 1 } },
    });
    expect(after?.statuses).toMatchObject({ cancelled: 1 });
    expect(after?.tasks.map(({ trials }) => trials)).toEqual([1, 1]);
  });

  it("is cancelled after the episode's time, as if it had never been", async () => {
    const rollout = { slots: 4, episodeTimeoutMs: 300 };
    const { directory, ended } = await trainHere(folder, {
      ...config(rollout),
      environment: withTool(hangs),
    });
    expect(ended).toBe("done");
    const played = new Set(linesOf(`${directory}/rollouts.jsonl`).map(({ group }) => group));
    expect([1, 6, 11].some((group) => played.has(group))).toBe(false);
  });
});
