import fc from "fast-check";
import { expect, test } from "vitest";
import { Reducer } from "../../../cluster/ring/reducer.ts";
import { allocateMemory } from "../../../cluster/ring/wasm.ts";
import { checksum } from "../../reference/checksum.ts";

const memories = [false, true].map((isShared) => allocateMemory(2 ** 16, isShared));
const reducers = memories.map((memory) => new Reducer(memory, "f32"));

/** Checksums of bytes at an address, in both kinds of memory. */
function checksumsOf(bytes: Uint8Array, at: number): number[] {
  return reducers.map((reducer) => {
    new Uint8Array(reducer.memory.buffer).fill(0xee).set(bytes, at);
    return reducer.checksum(at, bytes.length);
  });
}

const bytes = fc.uint8Array({ maxLength: 400 });

test("is that of the oracle, wherever the bytes are", () => {
  fc.assert(
    fc.property(bytes, fc.nat(1000), (given, at) => {
      const expected = checksum(given);
      expect(checksumsOf(given, at)).toEqual([expected, expected]);
    }),
  );
});

test("is written down", () => {
  expect(checksum(new Uint8Array())).toMatchInlineSnapshot(`1944133743`);
  expect(checksum(Uint8Array.from({ length: 200 }, (_, i) => i))).toMatchInlineSnapshot(
    `1215820098`,
  );
});

test("finds every bit that has changed, every byte that is gone and words that have changed places", () => {
  const given = Uint8Array.from({ length: 200 }, (_, i) => (i * 37) & 255);
  const right = checksum(given);
  for (let bit = 0; bit < 8 * given.length; bit++) {
    const wrong = given.slice();
    wrong[bit >> 3] = (wrong[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(checksum(wrong)).not.toBe(right);
  }
  for (let length = 0; length < given.length; length++) {
    expect(checksum(given.subarray(0, length))).not.toBe(right);
    expect(checksum(new Uint8Array(length))).not.toBe(checksum(new Uint8Array(length + 1)));
  }
  for (let a = 0; a < 48; a++)
    for (let b = 0; b < a; b++) {
      const words = new Uint32Array(given.slice().buffer);
      [words[a], words[b]] = [words[b] as number, words[a] as number];
      expect(checksum(new Uint8Array(words.buffer))).not.toBe(right);
    }
});

test("finds a line that is stuck, whichever it is and from wherever on", () => {
  const random = Uint32Array.from({ length: 64 }, (_, i) => Math.imul(i + 1, 0x9e37_79b9));
  const right = checksum(new Uint8Array(random.buffer));
  for (let line = 0; line < 32; line++)
    for (let from = 0; from < 60; from++)
      for (const stuck of [0, 1]) {
        const mask = 1 << line;
        const wrong = random.map((word, i) => {
          if (i < from) return word;
          return stuck === 1 ? word | mask : word & ~mask;
        });
        if (wrong.every((word, i) => word === random[i])) continue;
        expect(checksum(new Uint8Array(wrong.buffer))).not.toBe(right);
      }
});

test("stays within the memory", () => {
  for (const at of [-1, 2 ** 16 - 9, 0.5]) {
    expect(() => reducers[0]?.checksum(at, 10)).toThrow(/argument_invalid/);
  }
});
