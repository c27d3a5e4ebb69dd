/** Which checkpoints a run keeps. */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { trainHere } from "../../support/train-here.ts";
import { tinyConfig, useFolder } from "../../support/training-run.ts";

const folder = useFolder("keep");

describe("checkpoint.keep", () => {
  it("is how many of the newest stay", async () => {
    const config = tinyConfig({
      ...{ train: { steps: 4 }, eval: { every: 0 }, checkpoint: { every: 1, keep: 2 } },
    });
    const { directory } = await trainHere(folder, config);
    const names = readdirSync(`${directory}/checkpoints`).filter((name) =>
      name.startsWith("step-"),
    );
    expect(names.sort()).toEqual(["step-000003", "step-000004"]);
  });
});
