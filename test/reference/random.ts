/**
 * Oracle of `shaders/random.wgsl`: Philox4x32-10 with 64-bit products, and the distributions in f64.
 */

/** Ten rounds of Philox on a counter of four words under a key of two. */
export function philox4x32(counter: readonly number[], key: readonly number[]): number[] {
  const mask = 0xffff_ffffn;
  let [x = 0n, y = 0n, z = 0n, w = 0n] = counter.map(BigInt);
  let [k0 = 0n, k1 = 0n] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const a = 0xd2511f53n * x;
    const b = 0xcd9e8d57n * z;
    [x, y, z, w] = [(b >> 32n) ^ y ^ k0, b & mask, (a >> 32n) ^ w ^ k1, a & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [x, y, z, w].map(Number);
}

/** A stream of random numbers. `seed` is 64-bit. */
export interface RandomStream {
  readonly seed: bigint;
  readonly stream: number;
  /** Default 0. */
  readonly call?: number;
}

/** The first words of a stream; number i is word i mod 4 of counter i / 4. */
export function randomBits(count: number, { seed, stream, call = 0 }: RandomStream): Uint32Array {
  const key = [Number(seed & 0xffff_ffffn), Number(seed >> 32n)];
  const words = Array.from({ length: Math.ceil(count / 4) }, (_, i) =>
    philox4x32([i, 0, stream, call], key),
  );
  return Uint32Array.from(words.flat().slice(0, count));
}

/** [0, 1) from the upper 24 bits. */
export function uniformFromBits(bits: number): number {
  return Math.floor(bits / 256) / 2 ** 24;
}

/** (0, 1), as the kernel rounds it to f32. */
export function openUnitFromBits(bits: number): number {
  const fine = ((bits % 256) + 0.5) / 2 ** 32;
  return Math.min(Math.fround(uniformFromBits(bits) + fine), 1 - 2 ** -24);
}

/** Standard Gumbel. */
export function gumbelFromBits(bits: number): number {
  return -Math.log(-Math.log1p(-openUnitFromBits(bits)));
}

/** Two standard normal numbers by Box and Muller. */
export function normalPairFromBits(first: number, second: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(openUnitFromBits(first)));
  const angle = 2 * Math.PI * uniformFromBits(second);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}
