import { beforeAll, describe, expect, test } from "vitest";
import {
  compile,
  copyCacheSlots,
  State,
  type Tensor,
  tensor,
  toHalf,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/cache-attention.ts";
import { codeOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";

beforeAll(async () => {
  await device();
});

describe("copyCacheSlots", () => {
  const shape = [6, 9, 20] as const;
  const copies: readonly oracle.SlotCopy[] = [
    { from: 2, to: 0, length: 4 },
    { from: 2, to: 5, length: 100 },
    { from: 3, to: 1, length: 0 },
    { from: 3, to: 0xffff_ffff, length: 9 },
    { from: 6, to: 1, length: 9 },
    { from: 4, to: 4, length: 9 },
  ];
  const column = (of: (copy: oracle.SlotCopy) => number): Tensor =>
    tensor(Uint32Array.from(copies, of));

  test.each(["f32", "f16"] as const)(
    "copies the first positions of slots, of %s",
    async (dtype) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const floats = randoms(5).floats(count);
      const data = dtype === "f32" ? floats : Uint16Array.from(floats, toHalf);
      using cache = new State([...shape], dtype, data, "cache");
      const run = compile(() => {
        copyCacheSlots(
          cache,
          column((c) => c.from),
          column((c) => c.to),
          column((c) => c.length),
        );
        return {};
      });
      await run();
      const expected = oracle.cacheCopy(data, shape, copies);
      expect(Array.from(await cache.read())).toEqual(Array.from(expected));
    },
  );

  test("refuses what does not fit", async () => {
    const [two, three] = [tensor(Uint32Array.of(0, 1)), tensor(Uint32Array.of(0, 1, 2))];
    using cache = new State([...shape], "f32", 0, "cache");
    expect(codeOf(() => copyCacheSlots(cache, two, three, two))).toBe("shape_mismatch");
    expect(codeOf(() => copyCacheSlots(cache, two, two, two))).toBe("state_conflict");
    using odd = new State([6, 9, 18], "f32", 0, "odd");
    expect(codeOf(() => copyCacheSlots(odd, two, two, two))).toBe("shape_mismatch");
  });
});
