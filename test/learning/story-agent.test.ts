import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ABSENT, ASSETS } from "../support/assets.ts";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

const MODEL = join(ASSETS, "models/stories260K-hf");
const isThere = existsSync(MODEL);

/** The bar: a mean reward of 0.75 on held-out openings, from at most 0.2, and no fewer different words than 0.65. */
describe.skipIf(!isThere)(`a pretrained teller of stories ${isThere ? "" : ABSENT}`, () => {
  const folder = useFolder("story-agent");

  it.each(["story-agent.yaml", "story-agent-lora.yaml"])("learns by %s", async (config) => {
    const model = `model.directory=${MODEL}`;
    const { of, change } = await trainExample(`story-agent/${config}`, folder, model);
    const { before, after } = change("eval/reward_mean");
    expect(before).toBeLessThan(0.2);
    expect(after).toBeGreaterThanOrEqual(0.75);
    expect(of("eval/reward/variety").at(-1)).toBeGreaterThan(0.65);
  });
});
