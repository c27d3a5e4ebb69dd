/** Rows of cells as aligned columns. */

/**
 * Text with a line for each row, columns two spaces apart: those in `left` to the left, the others, numbers, to the right.
 * Spaces at the ends of lines are left out.
 */
export function tableText(
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, c) => {
      widths[c] = Math.max(widths[c] ?? 0, cell.length);
    });
  const aligned = (cell: string, c: number): string =>
    left.includes(c) ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0);
  return rows.map((row) => row.map(aligned).join("  ").trimEnd()).join("\n");
}
