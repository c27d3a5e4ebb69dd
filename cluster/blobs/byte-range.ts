/** The bytes that a request is for. */

/** From the first byte to before the last. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** A header of Range for one range: `bytes=0-99`, `bytes=100-`, or the last ones, `bytes=-100`. */
const RANGE = /^bytes=(\d{0,15})-(\d{0,15})$/i;

/**
 * What a header of Range asks for of so many bytes; "none" when that is none of them. One that is of several ranges, or makes no
 * sense, is as if it were not there.
 *
 * Source    RFC 9110, §14.1.2 and §14.2.
 */
export function byteRange(header: string | undefined, size: number): ByteRange | "whole" | "none" {
  const [, first = "", last = ""] = RANGE.exec(header ?? "") ?? [];
  if (first === "" && last === "") return "whole";
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "none" : { from: size - length, to: size };
  }
  const from = Number(first);
  if (last !== "" && Number(last) < from) return "whole";
  if (from >= size) return "none";
  return { from, to: last === "" ? size : Math.min(Number(last) + 1, size) };
}
