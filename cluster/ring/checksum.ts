/**
 * The checksum of a payload: it finds what networks and memories do to bytes, at a third of what a crc32 costs, and is no
 * secret's work. The round is that of xxHash's XXH32, once per word: h ← (h <<< 13 + w) · {@link PRIME}, which loses nothing of
 * either, so that a word that has changed alone is always found.
 *
 *   1. Sixteen lanes begin with PRIME. Of each 64 bytes, lane i takes the i-th u32, little-endian.
 *   2. h begins with PRIME, and takes lane 0 … lane 15, each of the bytes that are left over, and the number of all bytes.
 *   3. h ⊕ (h >>> 16), since low bits see less than high ones.
 */
import {
  advance,
  type Code,
  countDown,
  i32,
  i32x4,
  type Local,
  unroll,
  type Variables,
  v128,
} from "./wasm.ts";

/** Bytes that the lanes take at a time. */
export const CHECKSUM_STEP = 64;

const PRIME = 0x9e37_79b1;
const TURN = 13;

/** The kernel: h after its lanes, of so many times 64 bytes. */
export function checksumLanes(variables: Variables, at: Local, steps: Local): Code {
  const prime = variables.constant(i32x4.splat(PRIME));
  const vectors = [0, 1, 2, 3].map(() => variables.constant(i32x4.splat(PRIME)));
  const h = variables.i32();
  const turned = (x: Code): Code => v128.or(i32x4.shl(x, TURN), i32x4.shrU(x, 32 - TURN));
  const step = [
    ...vectors.flatMap((x, v) =>
      x.set(i32x4.mul(i32x4.add(turned(x.get), v128.load(at, 16 * v)), prime.get)),
    ),
    ...advance(at, CHECKSUM_STEP),
  ];
  const folded = vectors.flatMap((x) =>
    unroll(4, (lane) =>
      h.set(
        i32.mul(
          i32.add(i32.rotl(h.get, i32.const(TURN)), i32x4.lane(x.get, lane)),
          i32.const(PRIME),
        ),
      ),
    ),
  );
  return [...countDown(steps, step), ...h.set(i32.const(PRIME)), ...folded, ...h.get];
}

/** The checksum, of what the kernel has made of the whole steps, and the bytes that are left over. */
export function checksumEnd(lanes: number, rest: Uint8Array, length: number): number {
  let h = lanes;
  for (const byte of rest) h = round(h, byte);
  h = round(h, length);
  return (h ^ (h >>> 16)) >>> 0;
}

function round(h: number, word: number): number {
  return Math.imul(((h << TURN) | (h >>> (32 - TURN))) + word, PRIME);
}
