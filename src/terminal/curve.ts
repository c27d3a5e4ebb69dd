/** A curve of braille dots, two by four to a character. */
import { numberText } from "./units.ts";

/** Bits of a braille character by column and row of the dot, from the top left (Unicode, block 2800). */
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/**
 * Numbers as a curve over the whole width, with the greatest and the least at its left. More numbers than dots are averaged.
 * Those that are not finite are left out; with none, there are no lines.
 */
export function curveLines(
  values: readonly number[],
  width: number,
  height: number,
): readonly string[] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [];
  const [low, high] = [least(finite), -least(finite.map((value) => -value))];
  const labels = [numberText(high), numberText(low)];
  const margin = Math.max(...labels.map((label) => label.length));
  const plotWidth = width - margin - 2;
  if (plotWidth < 1) return [];
  const rows = 4 * height;
  const heights = resampled(finite, 2 * plotWidth).map((value) =>
    high > low ? Math.round(((high - value) / (high - low)) * (rows - 1)) : rows >> 1,
  );
  const cells = new Uint8Array(plotWidth * height);
  for (const [x, y] of heights.entries()) {
    // down or up to where the one before ended, so that a steep curve has no holes
    const before = heights[x - 1] ?? y;
    const from = before < y ? before + 1 : before > y ? before - 1 : y;
    for (let dot = Math.min(from, y); dot <= Math.max(from, y); dot++) {
      const cell = (dot >> 2) * plotWidth + (x >> 1);
      cells[cell] = Number(cells[cell]) | (DOTS[x & 1]?.[dot & 3] ?? 0);
    }
  }
  return Array.from({ length: height }, (_, row) => {
    const label = row === 0 ? labels[0] : row === height - 1 ? labels[1] : "";
    const codes = cells.subarray(row * plotWidth, (row + 1) * plotWidth);
    const dots = Array.from(codes, (code) => String.fromCharCode(0x2800 + code)).join("");
    return `${(label ?? "").padStart(margin)} ${label ? "┤" : "│"}${dots}`;
  });
}

/** So many numbers instead of `values`: averages of neighbours, or points on the lines between them. */
function resampled(values: readonly number[], count: number): readonly number[] {
  const per = values.length / count;
  return Array.from({ length: count }, (_, i) => {
    if (per > 1) {
      const part = values.slice(Math.floor(i * per), Math.max(Math.floor((i + 1) * per), 1));
      return part.reduce((sum, value) => sum + value, 0) / part.length;
    }
    const at = count > 1 ? (i * (values.length - 1)) / (count - 1) : 0;
    const [left, right] = [Number(values[Math.floor(at)]), Number(values[Math.ceil(at)])];
    return left + (right - left) * (at - Math.floor(at));
  });
}

function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}
