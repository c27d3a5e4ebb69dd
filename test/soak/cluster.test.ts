import { expect, it } from "vitest";
import { runSchedules } from "../support/cluster/schedule.ts";

it("a cluster lives through 100,000 histories of faults", () => {
  const { viable, stuck } = runSchedules(1_000_000, 100_000);
  expect(stuck).toEqual([]);
  expect(viable).toBeGreaterThan(95_000);
});
