import { describe, expect, it } from "vitest";
import { packCheckpoint, unpackCheckpoint } from "../../../src/train/checkpoint/packed.ts";
import { contentsOf } from "../../support/checkpoint-contents.ts";
import { textOf, writtenText } from "../../support/checkpoints.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";

describe("a packed checkpoint", () => {
  it("is unpacked as it was packed, after a copy as browsers make it", async () => {
    const packed = await packCheckpoint(123, contentsOf(123));
    expect(Object.keys(packed.files).sort()).toEqual([
      ...["optimizer.safetensors", "policy.safetensors", "state.json"],
    ]);
    await using read = await unpackCheckpoint(structuredClone(packed));
    expect(await textOf(read)).toBe(await writtenText(123));
  });

  it("says which file is not as it was", async () => {
    const packed = await packCheckpoint(7, contentsOf(7));
    const { "state.json": _, ...withoutState } = packed.files;
    const cut = { ...packed.files, "policy.safetensors": new Uint8Array(9) };
    const cases = [
      ["state.json", withoutState],
      ["policy.safetensors", cut],
      ["state.json", { ...packed.files, "state.json": new TextEncoder().encode("{") }],
    ] as const;
    for (const [name, files] of cases) {
      const error = await errorOf(unpackCheckpoint({ ...packed, files }));
      expect(error).toMatchObject({ code: "checkpoint_invalid" });
      expect(error.message).toContain(`step 7: ${name} `);
    }
  });

  it("has no state that is not plain JSON", async () => {
    const contents = { ...contentsOf(1), state: { loss: Number.NaN } };
    expect(await rejectionOf(packCheckpoint(1, contents))).toBe("argument_invalid");
  });
});
