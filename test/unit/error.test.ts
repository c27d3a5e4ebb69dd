import { describe, expect, test } from "vitest";
import { ForgeError } from "../../engine/error.ts";

describe("ForgeError", () => {
  test("says what, got, why and fix, one a line, behind its code", () => {
    const error = new ForgeError({
      code: "shape_mismatch",
      what: "matmul: inner sizes differ.",
      got: "[2, 3] · [4, 5]",
      why: "3 must equal 4",
      fix: "transpose an operand",
    });
    expect(error.message.split("\n")).toEqual([
      "[shape_mismatch] matmul: inner sizes differ.",
      "  got  [2, 3] · [4, 5]",
      "  why  3 must equal 4",
      "  fix  transpose an operand",
    ]);
    expect([error.code, error.hint, error.name]).toEqual([
      "shape_mismatch",
      "transpose an operand",
      "ForgeError",
    ]);
  });

  test("leaves out what is not known", () => {
    const error = new ForgeError({ code: "internal", what: "broken." });
    expect(error.message).toBe("[internal] broken.");
    expect(error.hint).toBeUndefined();
    expect("cause" in error).toBe(false);
  });

  test("is an Error that keeps its cause", () => {
    const cause = new TypeError("driver");
    const error = new ForgeError({ code: "validation", what: "refused.", cause });
    expect(error).toBeInstanceOf(Error);
    expect(error.cause).toBe(cause);
  });
});
