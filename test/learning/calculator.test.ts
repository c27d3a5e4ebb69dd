import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

const CONFIG = "calculator-agent/calculator-agent.yaml";

/** The bar: from 30 to 60 % of held-out problems after the warm start to 95 % or more. */
describe.each([1, 2, 3])("the calculator agent from random weights, seed %i", (seed) => {
  const folder = useFolder(`calculator-agent-${seed}`);

  it("solves 95 % of held-out problems, sampled", async () => {
    const { change } = await trainExample(CONFIG, folder, `seed=${seed}`, "eval.samples=4");
    const { before, after } = change("eval/pass_at_1");
    expect(before).toBeGreaterThanOrEqual(0.3);
    expect(before).toBeLessThanOrEqual(0.6);
    expect(after).toBeGreaterThanOrEqual(0.95);
  });
});

describe("the same without a calculator", () => {
  const folder = useFolder("calculator-agent-without");

  it("solves next to none, trained on right answers for as long", async () => {
    const settings = ["environment=./without-tool.ts", "seed=1", "eval.samples=4"];
    const { before, after } = (await trainExample(CONFIG, folder, ...settings)).change(
      "eval/pass_at_1",
    );
    expect(before).toBeLessThanOrEqual(0.02);
    expect(after).toBeLessThanOrEqual(0.02);
  });
});
