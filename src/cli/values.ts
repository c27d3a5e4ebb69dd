/** Values of options: what turns their text into numbers, and refuses what is none. */
import { InvalidArgumentError } from "commander";

/** A whole number from `least` on. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least}.`);
  };
}

/** A number for which `isFine` holds; `rule` says which those are. */
export function numberThat(
  isFine: (value: number) => boolean,
  rule: string,
): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isFinite(value) && isFine(value)) return value;
    throw new InvalidArgumentError(`It must be ${rule}.`);
  };
}

/** A seed: 64 bits without a sign. */
export function seed(text: string): bigint {
  if (/^\d+$/.test(text) && BigInt(text) < 2n ** 64n) return BigInt(text);
  throw new InvalidArgumentError("It must be a whole number from 0 to 2^64 − 1.");
}

/** Token ids, as in `1,2,3`, `1 2 3` or `[1, 2, 3]`. */
export function tokenIds(text: string): number[] {
  const words = text.split(/[\s,[\]]+/).filter((word) => word !== "");
  if (words.length > 0 && words.every((word) => /^\d{1,10}$/.test(word))) return words.map(Number);
  throw new InvalidArgumentError("It must be token ids, as in 1,2,3.");
}

/** An option that may be given several times. */
export function repeated<T>(parse: (text: string) => T): (text: string, before?: T[]) => T[] {
  return (text, before = []) => [...before, parse(text)];
}
