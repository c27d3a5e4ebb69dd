import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: from a walk that seldom comes home to seven of ten lakes that were never seen. */
describe.each([1, 2, 3])("frozen lake from random weights, seed %i", (seed) => {
  const folder = useFolder(`frozen-lake-${seed}`);

  it("comes home over lakes that are held out", async () => {
    const { of } = await trainExample("frozen-lake/frozen-lake.yaml", folder, `seed=${seed}`);
    const success = of("eval/pass_at_1");
    expect(success[0]).toBeLessThan(0.55);
    expect(success.at(-1)).toBeGreaterThanOrEqual(0.7);
    expect(Math.max(...of("mismatch/max_abs"))).toBeLessThanOrEqual(1e-4);
  });
});
