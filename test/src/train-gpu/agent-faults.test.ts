import { beforeAll, describe, expect, it } from "vitest";
import { expectPaidFor, type FaultRun, runAmongFaults } from "../../support/fault-run.ts";
import { useFolder } from "../../support/training-run.ts";

describe("64 episodes whose tools, servers and judges fail at random", () => {
  const folder = useFolder("agent-faults");
  let run: FaultRun;

  // what it has opened is gone when it returns: see there
  beforeAll(async () => {
    run = await runAmongFaults(folder, { steps: 4, kills: 2 });
  });

  it("are all there, with what went wrong", () => {
    const { episodes, world } = run;
    const statuses = new Set(episodes.map(({ status }) => status));
    for (const status of ["completed", "truncated", "agent_error", "infra_error"] as const)
      expect(statuses).toContain(status);
    const calls = episodes.flatMap(({ toolCalls }) => toolCalls);
    const outcomes = new Set(calls.map(({ status }) => status));
    for (const status of ["ok", "error", "timeout", "invalid_input", "unknown_tool"] as const)
      expect(outcomes).toContain(status);
    expect(world.faults.get("kills the server")).toBe(2);
    expect(world.faults.size).toBeGreaterThan(world.kinds.length / 2);
  });

  it("are paid for what the policy did, and for no failure", () => {
    for (const episode of run.episodes) expectPaidFor(episode);
  });
});
