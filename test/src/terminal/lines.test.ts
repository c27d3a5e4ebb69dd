import { describe, expect, it } from "vitest";
import { curveLines } from "../../../src/terminal/curve.ts";
import { barText, clip, wrapped } from "../../../src/terminal/line.ts";
import { numberText, smallText } from "../../../src/terminal/units.ts";

/** Dots of braille lines as characters: four rows a line, two columns a character. */
function dotsOf(lines: readonly string[]): readonly string[] {
  const bits = [
    [0x01, 0x08],
    [0x02, 0x10],
    [0x04, 0x20],
    [0x40, 0x80],
  ];
  return lines.flatMap((line) =>
    bits.map((row) =>
      Array.from(line.replace(/^.*[┤│]/, ""), (char) =>
        row.map((bit) => (char.charCodeAt(0) & bit ? "#" : ".")).join(""),
      ).join(""),
    ),
  );
}

describe("curveLines", () => {
  it("joins points by lines, from the least below to the greatest above", () => {
    const lines = curveLines([0, 7], 7, 2);
    expect(lines.map((line) => line.slice(0, 3))).toEqual(["7 ┤", "0 ┤"]);
    expect(dotsOf(lines)).toEqual([
      ".......#",
      "......#.",
      ".....#..",
      "....#...",
      "...#....",
      "..#.....",
      ".#......",
      "#.......",
    ]);
  });

  it("has no hole where it is steep, and goes along the middle where it is flat", () => {
    expect(dotsOf(curveLines([0, 0, 1, 1], 5, 1))).toEqual(["..##", "..#.", "..#.", "##.."]);
    expect(dotsOf(curveLines([3, 3], 5, 1))).toEqual(["....", "....", "####", "...."]);
  });

  it("averages more numbers than dots, each into one dot", () => {
    const noise = (i: number): number => (i % 2 ? 0.1 : -0.1);
    const values = Array.from({ length: 1000 }, (_, i) => (i < 500 ? 0 : 1) + noise(i));
    const [top, , , bottom] = dotsOf(curveLines(values, 20, 1));
    expect(top).toMatch(/^\.{12,13}#{13,14}$/);
    expect(bottom).toMatch(/^#{12,13}\.{13,14}$/);
  });

  it("leaves out what is not finite, and has no lines of nothing or in no room", () => {
    expect(curveLines([Number.NaN, 1, Infinity, 2], 10, 2)).toEqual(curveLines([1, 2], 10, 2));
    expect(curveLines([Number.NaN], 10, 2)).toEqual([]);
    expect(curveLines([1, 2], 3, 2)).toEqual([]);
  });

  it.each([20, 40, 79])("fits into %i characters", (width) => {
    for (const line of curveLines([-1234.5, 1e-9, 3e7], width, 4)) expect(line).toHaveLength(width);
  });
});

describe("lines", () => {
  it("bars and cuts", () => {
    expect(barText(0.5, 4)).toBe("━━┄┄");
    expect(clip("abcdef", 6)).toBe("abcdef");
    expect(clip("abcdef", 4)).toBe("abc…");
    expect(clip("abcdef", 0)).toBe("…");
  });

  it("breaks between words, and keeps what is longer than a line", () => {
    expect(wrapped("warning  one two three four", 15, "  ")).toBe(
      "warning  one\n  two three\n  four",
    );
    expect(wrapped("a/very/long/path b", 5, "  ")).toBe("a/very/long/path\n  b");
  });
});

describe("numbers", () => {
  it.each([
    [0, "0"],
    [3, "3"],
    [-3, "-3"],
    [0.5, "0.50"],
    [12.34, "12.3"],
    [999, "999"],
    [999.7, "1.00k"],
    [1000, "1.00k"],
    [12_345, "12.3k"],
    [-4_567_890, "-4.57M"],
    [3.14e-9, "3.1e-9"],
    [0.001, "1.0e-3"],
    [2e-10, "2e-10"],
    [1e20, "1e+20"],
    [Number.NaN, "NaN"],
    [-Infinity, "-Infinity"],
  ])("%d is %s", (number, text) => {
    expect(numberText(number)).toBe(text);
  });

  it("of a power of ten keep to six characters", () => {
    expect([1, 1e-6, 1e-10].map(smallText)).toEqual(["1.0e+0", "1.0e-6", "1e-10"]);
  });
});
