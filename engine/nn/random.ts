/**
 * Random numbers on the host, for initial weights and shuffling: the same on every platform.
 *
 * Only integer operations and the four exact operations of f64 (with the square root) are used: `Math.log` and `Math.cos`
 * differ in the last bit from one JavaScript engine to another.
 */

/** A seeded generator. Source: xoshiro128** of Blackman & Vigna 2018, arXiv:1805.01407, seeded by SplitMix32. */
export class Random {
  readonly #state: Uint32Array;
  #spare: number | undefined;

  /** The lower 32 bits of the seed count. */
  constructor(seed: number) {
    let at = seed >>> 0;
    this.#state = Uint32Array.from({ length: 4 }, () => {
      at = (at + 0x9e3779b9) >>> 0;
      let z = at;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return z ^ (z >>> 16);
    });
  }

  /** 32 random bits. */
  bits(): number {
    const s = this.#state as unknown as [number, number, number, number]; // four words, never fewer
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 11);
    return result;
  }

  /** A multiple of 2^-32 in [0, 1). */
  uniform(): number {
    return this.bits() / 2 ** 32;
  }

  /** An integer in [0, count). */
  integer(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** A standard normal number. Source: Marsaglia's polar method (Marsaglia & Bray 1964, SIAM Review 6(3)). */
  normal(): number {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare !== undefined) return spare;
    for (;;) {
      const u = (this.bits() + 0.5) / 2 ** 31 - 1;
      const v = (this.bits() + 0.5) / 2 ** 31 - 1;
      const square = u * u + v * v;
      if (square >= 1) continue;
      const factor = Math.sqrt((-2 * naturalLog(square)) / square);
      this.#spare = v * factor;
      return u * factor;
    }
  }
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

/** ln x for 0 < x < 1, to within 1e-16·|ln x| or so: x = m · 2^-k, ln m = 2 artanh((m − 1) / (m + 1)) by its series. */
function naturalLog(x: number): number {
  let mantissa = x;
  let halvings = 0;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    halvings++;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 0;
  for (let n = 21; n >= 1; n -= 2) sum = sum * square + 1 / n;
  return 2 * s * sum - halvings * Math.LN2;
}
