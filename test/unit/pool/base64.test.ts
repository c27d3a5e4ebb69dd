import { describe, expect, it } from "vitest";
import { fromBase64, toBase64 } from "../../../src/pool/base64.ts";

describe("base64", () => {
  it("is what Node makes of the same bytes, at any length and offset, and back", () => {
    const all = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7919) >> 3);
    for (const [from, to] of [...Array(9).keys()].map((n) => [n, 2 * n]).concat([[1, 9_999]])) {
      const bytes = all.subarray(from, to);
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
      expect(new Uint8Array(fromBase64(toBase64(bytes)))).toEqual(Uint8Array.from(bytes));
    }
    expect(toBase64(Float32Array.of(-0))).toBe("AAAAgA==");
  });

  it("refuses what is none", () => {
    for (const bad of ["A", "AA$A", "AAAA=", undefined, 1234])
      expect(() => fromBase64(bad as string), String(bad)).toThrow();
  });
});
