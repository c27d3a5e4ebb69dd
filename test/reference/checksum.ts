/** Oracle of `cluster/ring/checksum.ts`: word by word, in integers of any length. */

const PRIME = 2654435761n;
const MASK = 2n ** 32n - 1n;

function round(h: bigint, word: bigint): bigint {
  const turned = ((h << 13n) | (h >> 19n)) & MASK;
  return ((turned + word) * PRIME) & MASK;
}

/** The checksum of bytes. */
export function checksum(bytes: Uint8Array): number {
  const lanes = new Array<bigint>(16).fill(PRIME);
  const whole = bytes.length - (bytes.length % 64);
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < whole; at += 4) {
    const lane = (at / 4) % 16;
    lanes[lane] = round(lanes[lane] as bigint, BigInt(words.getUint32(at, true)));
  }
  const rest = [...bytes.subarray(whole)].map(BigInt);
  const h = [...lanes, ...rest, BigInt(bytes.length)].reduce(round, PRIME);
  return Number(h ^ (h >> 16n));
}
