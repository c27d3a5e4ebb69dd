import { describe, expect, test } from "vitest";
import { declaredBindings } from "../../../engine/gpu/pipeline.ts";
import { expandShader } from "../../../engine/gpu/shader.ts";
import { codeOf } from "../../support/errors.ts";

const lines = (...text: string[]): string => text.join("\n");

describe("expandShader", () => {
  test("leaves a text without parameters as it is", () => {
    const text = lines("const N: u32 = 8u;", "fn f() -> u32 {", "  return N;", "}");
    expect(expandShader("x", text)).toBe(text);
  });

  test("repeats the lines of a #for with the variable replaced", () => {
    const text = lines("#for i in 0..3", "  let v${i} = x[${i * 2 + 1}u];", "#end", "done");
    expect(expandShader("x", text)).toBe(
      lines("  let v0 = x[1u];", "  let v1 = x[3u];", "  let v2 = x[5u];", "done"),
    );
  });

  test("nests loops, whose bounds may use outer variables and constants of the file", () => {
    const text = lines(
      "const ROWS: u32 = 2u;",
      "#for r in 0..ROWS",
      "  #for c in r..ROWS * 2 - 1",
      "  a${r}_${c};",
      "  #end",
      "  b${r};",
      "#end",
    );
    expect(expandShader("x", text)).toBe(
      lines(
        "const ROWS: u32 = 2u;",
        "  a0_0;",
        "  a0_1;",
        "  a0_2;",
        "  b0;",
        "  a1_1;",
        "  a1_2;",
        "  b1;",
      ),
    );
  });

  test("drops a loop that runs zero times, with the loops inside it", () => {
    expect(
      expandShader("x", lines("#for i in 0..0", "a", "#for j in 0..2", "b", "#end", "#end", "c")),
    ).toBe("c");
  });

  test.each([
    ["1 + 2 * 3", 7],
    ["(1 + 2) * 3", 9],
    ["7 / 2", 3],
    ["7 % 4 - 1", 2],
    ["10 - 2 - 3", 5],
    ["N / 2 * N", 32],
  ])("evaluates %s to %i", (expression, value) => {
    const text = lines("const N: u32 = 8u;", "#for i in 0..1", `\${${expression}}`, "#end");
    expect(expandShader("x", text).split("\n")[1]).toBe(String(value));
  });

  test("evaluates constants that are made of earlier ones, after the host has replaced them", () => {
    const text = lines(
      "const N: u32 = 2u;",
      "const M: u32 = N * 3u;",
      "#for i in 0..M",
      "x",
      "#end",
    );
    expect(expandShader("x", text).match(/^x$/gm)).toHaveLength(6);
    expect(expandShader("x", text, { constants: { N: 3 } }).match(/^x$/gm)).toHaveLength(9);
  });

  test("replaces constants with their type, flags, and aliases", () => {
    const text = lines(
      "const N: u32 = 8u;",
      "const EPS: f32 = 1e-5;",
      "const ON: bool = true;",
      "alias Element = f32;",
    );
    const constants = { N: 16, EPS: 0.5, ON: false, Element: "vec4f" };
    expect(expandShader("x", text, { constants })).toBe(
      lines(
        "const N: u32 = 16u;",
        "const EPS: f32 = 0.5;",
        "const ON: bool = false;",
        "alias Element = vec4f;",
      ),
    );
  });

  test("replaces no constant whose name only begins alike, and none inside a function", () => {
    const text = lines(
      "const NN: u32 = 1u;",
      "const N: u32 = 2u;",
      "fn f() {",
      "  const N: u32 = 3u;",
      "}",
    );
    expect(expandShader("x", text, { constants: { N: 9 } })).toBe(
      lines("const NN: u32 = 1u;", "const N: u32 = 9u;", "fn f() {", "  const N: u32 = 3u;", "}"),
    );
  });

  test("replaces a whole function and leaves its neighbours", () => {
    const text = lines(
      "fn before() {",
      "}",
      "fn store(v: f32) {",
      "  if (v > 0) {",
      "    c = v;",
      "  }",
      "}",
      "fn store4() {",
      "}",
    );
    const functions = { store: "fn store(v: f32) { c = 2 * v; }" };
    expect(expandShader("x", text, { functions })).toBe(
      lines("fn before() {", "}", "fn store(v: f32) { c = 2 * v; }", "fn store4() {", "}"),
    );
  });

  test("appends fields to Params and declarations to the file", () => {
    const text = lines("struct Params {", "  rows: u32,", "  cols: u32,", "}", "fn f() {", "}");
    const out = expandShader("x", text, {
      fields: ["p0: f32", "p1: u32"],
      declarations: "@group(0) var y: f32;",
    });
    expect(out.replace(/\s+/g, " ")).toBe(
      "struct Params { rows: u32, cols: u32, p0: f32, p1: u32, } fn f() { } @group(0) var y: f32; ",
    );
  });

  test.each([
    ["an unknown constant", "fn f() {\n}", { constants: { N: 1 } }],
    ["an unknown function", "fn f() {\n}", { functions: { g: "fn g() {}" } }],
    ["fields without a Params struct", "fn f() {\n}", { fields: ["a: u32"] }],
    ["a #for without #end", "#for i in 0..2\nx", {}],
    ["an inner #for without #end", "#for i in 0..2\n#for j in 0..2\n#end", {}],
    ["an #end without #for", "x\n#end", {}],
    ["an #end too many", "#for i in 0..2\n#end\n#end", {}],
    ["an unknown name", "#for i in 0..2\n${k}\n#end", {}],
    ["an unbalanced expression", "#for i in 0..(2\nx\n#end", {}],
    ["a malformed expression", "#for i in 0..2 2\nx\n#end", {}],
    ["an operator it does not know", "#for i in 0..2\n${i & 1}\n#end", {}],
    ["a character it does not know", "#for i in 0..2\n${i;}\n#end", {}],
    ["a division by zero", "#for i in 0..2\n${4 / i}\n#end", {}],
  ])("refuses %s and names the shader", (_name, text, options) => {
    expect(codeOf(() => expandShader("norm", text, options))).toBe("shader_invalid");
    expect(() => expandShader("norm", text, options)).toThrow(/shader "norm"/);
  });
});

describe("declaredBindings", () => {
  test("reads the kind of every binding, with gaps", () => {
    const text = lines(
      "@group(0) @binding(0) var<uniform> params: Params;",
      "@group(0) @binding(3) var<storage, read_write> out: array<f32>;",
      "@group(0) @binding(1) var<storage, read> x: array<f32>;",
      "@group(0) @binding(4) var<storage> y: array<f32>;",
      "var<workgroup> lanes: array<f32, 64>;",
    );
    expect(declaredBindings(text)).toEqual(["uniform", "read", undefined, "read_write", "read"]);
  });
});
