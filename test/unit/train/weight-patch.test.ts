import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { patched, weightPatch } from "../../../src/train/cluster/weight-patch.ts";
import { codeOf } from "../../support/errors.ts";

const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.slice().buffer);

describe("a patch of weights", () => {
  it("makes the one version of the other, bit for bit, wherever it is smaller", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer()), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(fc.float(), { maxLength: 60 }), changes, (values, changed) => {
        const before = Float32Array.from(values);
        const after = before.slice();
        const words = new Uint32Array(after.buffer);
        // any bits: NaNs with all their payloads, and −0
        for (const [at, word] of changed) if (words.length > 0) words[at % words.length] = word;
        const count = [...words].filter((word, i) => word !== bits(before)[i]).length;
        const patch = weightPatch(before, after);
        expect(patch === undefined).toBe(count > words.length / 4);
        if (!patch) return;
        expect(patch).toHaveLength(8 * count);
        expect(bits(patched(before, patch))).toEqual(words);
      }),
    );
  });

  it("is nothing where nothing has changed, and leaves what it is put on alone", () => {
    const weights = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    expect(weightPatch(weights, weights.slice())).toEqual(new Uint8Array());
    const after = weights.with(3, 9);
    const patch = weightPatch(weights, after) as Uint8Array;
    expect(patched(weights, patch)).toEqual(after);
    expect(weights[3]).toBe(4);
  });

  it.each([
    ["an index beyond the weights", new Uint8Array(Uint32Array.of(8, 0).buffer)],
    ["half an entry", new Uint8Array(12)],
    ["bytes that are no words", new Uint8Array(9)],
  ])("is refused with %s", (_, patch) => {
    expect(codeOf(() => patched(new Float32Array(8), patch))).toBe("file_invalid");
  });
});
