import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WireType } from "../../../cluster/index.ts";
import { packScalar } from "../../../cluster/ring/scalar.ts";
import { bytesOf } from "../../../cluster/ring/wire-type.ts";
import { areAddable } from "../../../src/train/cluster/addable.ts";
import { isAddable } from "../../../src/train/learner/gradient-exchange.ts";

function packed(values: Float32Array, wire: WireType): Uint8Array {
  const bytes = new Uint8Array(bytesOf(values.length, wire));
  const none = { residual: new Float32Array(values.length), nextResidual: values.slice() };
  packScalar(wire, values, new DataView(bytes.buffer), none);
  return bytes;
}

const ELEMENT = fc.oneof(
  fc.float({ noNaN: false }),
  fc.constantFrom(2 ** 110, -(2 ** 111), 2 ** 112, Number.NaN, Number.NEGATIVE_INFINITY, 0),
);

describe("packed gradients that can be added up", () => {
  it("are those whose values are, in f32", () => {
    fc.assert(
      fc.property(fc.array(ELEMENT, { maxLength: 600 }), (list) => {
        const values = Float32Array.from(list);
        expect(areAddable(packed(values, "f32"), "f32")).toBe(values.every(isAddable));
      }),
    );
  });

  it.each(["bf16", "int8"] as const)("are at most those, and all below 2¹⁰⁹, in %s", (wire) => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -(2 ** 109), max: 2 ** 109, noNaN: true }), { maxLength: 600 }),
        fc.nat(599),
        fc.constantFrom(2 ** 112, Number.NaN, Number.POSITIVE_INFINITY, -(2 ** 112)),
        (list, at, wrong) => {
          const values = Float32Array.from(list);
          expect(areAddable(packed(values, wire), wire)).toBe(true);
          if (at >= values.length) return;
          values[at] = wrong;
          expect(areAddable(packed(values, wire), wire)).toBe(false);
        },
      ),
    );
  });
});
