/** Ranges that are yet to be fetched. */
import type { ByteRange } from "./byte-range.ts";

/** Ranges are cut as they are asked for, and are shorter towards the end: so a slow source keeps nobody waiting for long. */
const SHORTEST = 16;

/**
 * What is left of so many bytes.
 *
 * Source    guided self-scheduling: C. D. Polychronopoulos and D. J. Kuck, IEEE Transactions on Computers C-36 (12), 1987; here
 *           each takes half of its share.
 */
export class RangeQueue {
  readonly #size: number;
  readonly #longest: number;
  readonly #sources: number;
  readonly #returned: ByteRange[] = [];
  #at = 0;

  /** For so many who take; of ranges of at most `longest` bytes. */
  constructor(size: number, longest: number, sources: number) {
    this.#size = size;
    this.#longest = longest;
    this.#sources = sources;
  }

  get isEmpty(): boolean {
    return this.#at === this.#size && this.#returned.length === 0;
  }

  take(): ByteRange | undefined {
    const returned = this.#returned.pop();
    if (returned || this.#at === this.#size) return returned;
    const left = this.#size - this.#at;
    const share = Math.ceil(left / (2 * this.#sources));
    const shortest = Math.ceil(this.#longest / SHORTEST);
    const length = Math.min(left, this.#longest, Math.max(shortest, share));
    const range = { from: this.#at, to: this.#at + length };
    this.#at = range.to;
    return range;
  }

  /** It could not be fetched. */
  giveBack(range: ByteRange): void {
    this.#returned.push(range);
  }
}
