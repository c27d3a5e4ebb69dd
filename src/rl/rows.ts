/** Rows of numbers, one row per sample and one number per token or step, and what is asked of them. */
import { ForgeError } from "../../engine/error.ts";

/** The numbers of one sample. */
export type Row = ArrayLike<number>;

/** One row per sample. Rows may differ in length: nothing needs padding. */
export type Rows = readonly Row[];

/**
 * Throws unless all of `named` have the same rows of the same lengths.
 *
 * @throws ForgeError `shape_mismatch`
 */
export function checkSameShape(what: string, named: Readonly<Record<string, Rows>>): void {
  const [first, ...others] = Object.entries(named);
  if (first === undefined) return;
  const [firstName, rows] = first;
  for (const [name, other] of others) {
    checkSameLength(what, { [firstName]: rows, [name]: other });
    for (const [i, row] of rows.entries()) {
      const length = (other[i] as Row).length;
      if (length === row.length) continue;
      throw new ForgeError({
        code: "shape_mismatch",
        what: `${what}: row ${i} of ${name} is not as long as that of ${firstName}`,
        got: `${length} and ${row.length}`,
        fix: "give one number per token in every input",
      });
    }
  }
}

/**
 * Throws unless all of `named` are equally long.
 *
 * @throws ForgeError `shape_mismatch`
 */
export function checkSameLength(
  what: string,
  named: Readonly<Record<string, ArrayLike<unknown>>>,
): void {
  const lengths = Object.entries(named).map(([name, list]) => `${name} ${list.length}`);
  if (new Set(Object.values(named).map((list) => list.length)).size < 2) return;
  throw new ForgeError({
    code: "shape_mismatch",
    what: `${what}: inputs have different numbers of entries`,
    got: lengths.join(", "),
    fix: "give one entry per sample in every input",
  });
}

/**
 * Throws unless a mask holds 0 and 1 only.
 *
 * @throws ForgeError `argument_invalid`
 */
export function checkMask(what: string, mask: Rows): void {
  for (const [i, row] of mask.entries()) {
    for (let t = 0; t < row.length; t++) {
      if (row[t] === 0 || row[t] === 1) continue;
      throw new ForgeError({
        code: "argument_invalid",
        what: `${what}: the mask holds something else than 0 and 1`,
        got: `${row[t]} in row ${i} at ${t}`,
        why: "1 is a token that the policy sampled, 0 every other",
        fix: "put weights into the advantages or the importance weights",
      });
    }
  }
}

/**
 * Throws unless a number is finite; gives it back.
 *
 * @throws ForgeError `non_finite`
 */
export function finite(what: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new ForgeError({
    code: "non_finite",
    what: `${what} is not a finite number`,
    got: String(value),
    why: "one such number spreads to every sample of its group or batch",
    fix: "give null where there is no reward",
  });
}

/**
 * Throws unless every number of every row is finite.
 *
 * @throws ForgeError `non_finite`
 */
export function checkFinite(what: string, rows: Rows): void {
  for (const [i, row] of rows.entries()) {
    for (let t = 0; t < row.length; t++) finite(`${what}, row ${i} at ${t}`, Number(row[t]));
  }
}

/**
 * Throws unless a setting lies in [low, high]; gives it back.
 *
 * @throws ForgeError `argument_invalid`
 */
export function within(what: string, value: number, low: number, high: number): number {
  if (value >= low && value <= high) return value;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${what} is out of range`,
    got: String(value),
    fix: `give a number from ${low} to ${high}`,
  });
}
