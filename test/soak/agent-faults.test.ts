import { beforeAll, describe, expect, it } from "vitest";
import { expectPaidFor, type FaultRun, runAmongFaults } from "../support/fault-run.ts";
import { useFolder } from "../support/training-run.ts";

const [STEPS, KILLS] = [63, 40];
/** Bytes that may be held more at the end than after a quarter of the run: some thousands an episode would be a leak. */
const GROWTH = 2 ** 21;

describe("1,008 episodes whose tools, servers and judges fail at random", () => {
  const folder = useFolder("agent-faults");
  let run: FaultRun;

  // what it has opened is gone when it returns: see there
  beforeAll(async () => {
    run = await runAmongFaults(folder, { steps: STEPS, kills: KILLS });
  }, 1_800_000);

  it("see everything go wrong that can", () => {
    const { episodes, world } = run;
    expect([...world.faults.keys()].sort()).toEqual([...world.kinds].sort());
    expect(world.faults.get("kills the server")).toBe(KILLS);
    expect(new Set(episodes.map(({ status }) => status))).toEqual(
      new Set(["completed", "truncated", "agent_error", "infra_error", "cancelled"]),
    );
  });

  it("are paid for what the policy did, and for no failure", () => {
    for (const episode of run.episodes) expectPaidFor(episode);
  });

  it("leave nothing in memory", () => {
    const { held } = run;
    const medianOf = (from: number, to: number): number =>
      held.slice(from * STEPS, to * STEPS).sort((a, b) => a - b)[Math.floor(STEPS / 8)] as number;
    expect(medianOf(0.75, 1) - medianOf(0.25, 0.5)).toBeLessThan(GROWTH);
  });
});
