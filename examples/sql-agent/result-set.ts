/** Answers of a database, and whether two of them say the same. */

/** A value of a row; whatever SQL has beside these is text. */
export type Cell = string | number | boolean | null;

/** Rows, in the order in which the database gave them. */
export interface ResultSet {
  /** Names may come twice; none where there is no row. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** Whether there were more rows than asked for. */
  readonly isCut: boolean;
}

/** What of two numbers may differ: their difference, as a share of the larger. */
const TOLERANCE = 1e-6;

/**
 * Whether two answers have the same rows, each as often, whatever their columns are called.
 *
 * @param isOrdered whether the order of rows counts too
 */
export function isSameResult(got: ResultSet, wanted: ResultSet, isOrdered: boolean): boolean {
  if (got.isCut || wanted.isCut || got.rows.length !== wanted.rows.length) return false;
  if (isOrdered) return wanted.rows.every((row, i) => isSameRow(row, got.rows[i] ?? []));
  return hasPartners(wanted.rows, got.rows);
}

/**
 * Whether each row of one list has one of the other to itself. Numbers that are nearly equal can have several partners each,
 * so that the first one found need not be the right one.
 *
 * Source    Kuhn's augmenting paths, "The Hungarian method for the assignment problem", 1955.
 */
function hasPartners(
  rows: readonly (readonly Cell[])[],
  others: readonly (readonly Cell[])[],
): boolean {
  const partnerOf: (number | undefined)[] = others.map(() => undefined);
  const finds = (row: number, seen: Set<number>): boolean =>
    others.some((other, i) => {
      if (seen.has(i) || !isSameRow(rows[row] ?? [], other)) return false;
      seen.add(i);
      const rival = partnerOf[i];
      if (rival !== undefined && !finds(rival, seen)) return false;
      partnerOf[i] = row;
      return true;
    });
  return rows.every((_, row) => finds(row, new Set()));
}

function isSameRow(a: readonly Cell[], b: readonly Cell[]): boolean {
  return a.length === b.length && a.every((cell, i) => isSameCell(cell, b[i] ?? null));
}

function isSameCell(a: Cell, b: Cell): boolean {
  if (a === b) return true;
  if (typeof a !== "number" || typeof b !== "number") return false;
  const larger = Math.max(Math.abs(a), Math.abs(b));
  return larger < Number.POSITIVE_INFINITY && Math.abs(a - b) <= TOLERANCE * larger;
}

/**
 * A line for each row, cells parted by a bar and numbers with two decimals at most: for somebody who reads.
 *
 * @param most lines of rows; more are said to be there
 */
export function showResult({ rows, isCut }: ResultSet, most = rows.length): string {
  if (rows.length === 0) return "no rows";
  const lines = rows.slice(0, most).map((row) => row.map(showCell).join("|"));
  return [...lines, ...(isCut || most < rows.length ? ["and more"] : [])].join("\n");
}

function showCell(cell: Cell): string {
  return typeof cell === "number" ? String(Math.round(cell * 100) / 100) : String(cell);
}
