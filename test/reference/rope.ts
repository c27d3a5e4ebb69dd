/**
 * Rotary position embedding in double precision: pair i of every head turns by position · frequencies[i].
 * Half-split pairs are (i, i + R/2), interleaved ones (2i, 2i + 1), R = 2 · frequencies.length; the rest is copied.
 */

export interface RopeInput {
  readonly tokens: number;
  readonly heads: number;
  readonly headSize: number;
  readonly x: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
  /** Radians per position, one for each pair. */
  readonly frequencies: ArrayLike<number>;
  readonly isInterleaved?: boolean;
  /** Factor on sine and cosine (attention scaling). */
  readonly scale?: number;
}

export function rope(input: RopeInput): Float64Array {
  return rotate(input, 1);
}

/** Gradient of x, given in `input.x` the gradient of the result: the rotation is undone, its scale is not. */
export function ropeBackward(input: RopeInput): Float64Array {
  return rotate(input, -1);
}

function rotate(input: RopeInput, sign: number): Float64Array {
  const {
    tokens,
    heads,
    headSize,
    x,
    positions,
    frequencies,
    isInterleaved = false,
    scale = 1,
  } = input;
  const pairs = frequencies.length;
  const y = Float64Array.from({ length: tokens * heads * headSize }, (_, i) => Number(x[i]));
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < heads; head++) {
      const start = (token * heads + head) * headSize;
      for (let i = 0; i < pairs; i++) {
        const angle = sign * Number(positions[token]) * Number(frequencies[i]);
        const cos = scale * Math.cos(angle);
        const sin = scale * Math.sin(angle);
        const first = start + (isInterleaved ? 2 * i : i);
        const second = start + (isInterleaved ? 2 * i + 1 : i + pairs);
        const a = Number(x[first]);
        const b = Number(x[second]);
        y[first] = a * cos - b * sin;
        y[second] = b * cos + a * sin;
      }
    }
  }
  return y;
}
