import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import {
  CHUNK_HEADER_BYTES,
  type ChunkHeader,
  checkChecksum,
  checkLength,
  decodeChunkHeader,
  encodeChunkHeader,
} from "../../../cluster/protocol/chunk-header.ts";
import { bytesOf, WIRE_TYPES } from "../../../cluster/ring/wire-type.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import { randoms } from "../../support/gpu.ts";

const U32 = 2 ** 32 - 1;
const LIMITS = { chunkBytes: U32 };

const header: ChunkHeader = {
  phase: "gather",
  wire: "int8",
  runId: "000102030405060708090a0b0c0d0e0f",
  epoch: 0x11121314,
  op: 0x21222324,
  attempt: 0x31323334,
  bucket: 0x41424344,
  hop: 0x5152,
  segment: 0x6162,
  offset: 0x71727374,
  elements: 300,
  checksum: 0x81828384,
};

const u32 = fc.nat(U32);
const headers: fc.Arbitrary<ChunkHeader> = fc.record({
  phase: fc.constantFrom("reduce" as const, "gather" as const),
  wire: fc.constantFrom(...WIRE_TYPES),
  runId: fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((bytes) => Buffer.from(bytes).toString("hex")),
  epoch: u32,
  op: u32,
  attempt: u32,
  bucket: u32,
  hop: fc.nat(0xffff),
  segment: fc.nat(0xffff),
  offset: fc.nat(U32 - 2 ** 22),
  elements: fc.integer({ min: 1, max: 2 ** 29 }),
  checksum: u32,
});

/** The bytes with other ones in their place and a checksum that fits. */
function sealed(bytes: Uint8Array, at: number, ...others: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(others, at);
  new DataView(copy.buffer).setUint32(60, crc32(copy.subarray(0, 60)), true);
  return copy;
}

describe("chunk header", () => {
  test("every field has its place", () => {
    const bytes = Buffer.from(encodeChunkHeader(header));
    expect(bytes.toString("hex", 0, 56)).toBe(
      [
        "46474331", // FGC1
        "0100", // version
        "01", // gather
        "02", // int8
        "000102030405060708090a0b0c0d0e0f",
        "14131211",
        "24232221",
        "34333231",
        "44434241",
        "5251",
        "6261",
        "74737271",
        "2c010000", // 300 elements
        "34010000", // 308 bytes: two scales
      ].join(""),
    );
    expect(bytes.readUInt32LE(56)).toBe(0x81828384);
    expect(bytes.readUInt32LE(60)).toBe(crc32(bytes.subarray(0, 60)));
    expect(bytes).toHaveLength(CHUNK_HEADER_BYTES);
  });

  test("is read as it was written, wherever its bytes lie", () => {
    fc.assert(
      fc.property(headers, fc.nat(7), (any, shift) => {
        const room = new Uint8Array(80);
        room.set(encodeChunkHeader(any), shift);
        const read = decodeChunkHeader(room.subarray(shift, shift + CHUNK_HEADER_BYTES), LIMITS);
        expect(read).toEqual(any);
      }),
    );
  });

  test("with any bit flipped it is refused", () => {
    const bytes = encodeChunkHeader(header);
    for (let bit = 0; bit < 8 * CHUNK_HEADER_BYTES; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(clusterCodeOf(() => decodeChunkHeader(flipped, LIMITS))).toBe("frame_invalid");
    }
  });

  test("of another length it is refused", () => {
    const bytes = encodeChunkHeader(header);
    for (const other of [bytes.subarray(0, 63), new Uint8Array(0), new Uint8Array(65)]) {
      expect(clusterCodeOf(() => decodeChunkHeader(other, LIMITS))).toBe("frame_invalid");
    }
  });

  test.each([
    ["magic", 0, [0x47]],
    ["version", 4, [2]],
    ["phase", 6, [2]],
    ["wire type", 7, [3]],
    ["no elements", 48, [0, 0, 0, 0]],
    ["an element more than the payload holds", 48, [0x2d]],
    ["a byte more than the elements take", 52, [0x35]],
    ["elements beyond the last block", 44, [0xff, 0xff, 0xff, 0xff]],
  ])("with a true checksum over a wrong field it is refused: %s", (_, at, others) => {
    const bytes = sealed(encodeChunkHeader(header), at, ...others);
    expect(clusterCodeOf(() => decodeChunkHeader(bytes, LIMITS))).toBe("frame_invalid");
  });

  test("asks for no more than the receiver's limit", () => {
    const bytes = encodeChunkHeader(header);
    expect(decodeChunkHeader(bytes, { chunkBytes: 308 }).elements).toBe(300);
    expect(clusterCodeOf(() => decodeChunkHeader(bytes, { chunkBytes: 307 }))).toBe(
      "frame_invalid",
    );
  });

  test("fuzzed 150,000 times it is refused, or was a header", () => {
    const random = randoms(6);
    const below = (end: number): number => Math.floor(random.next() * end);
    const original = encodeChunkHeader({ ...header, elements: 1, wire: "bf16" });
    let accepted = 0;
    for (let round = 0; round < 150_000; round++) {
      let bytes = original.slice();
      if (round % 3 === 0) bytes = bytes.map(() => below(256));
      for (let change = below(4); change >= 0; change--) bytes[below(64)] = below(256);
      if (round % 3 === 2) bytes = Uint8Array.from(sealed(bytes, 0, ...original.subarray(0, 6)));
      try {
        const read = decodeChunkHeader(bytes, LIMITS);
        accepted++;
        if (Buffer.compare(encodeChunkHeader(read), bytes) !== 0) expect.fail("other bytes");
      } catch (error) {
        if (!(error instanceof ClusterError) || error.code !== "frame_invalid") throw error;
      }
    }
    expect(accepted).toBeGreaterThan(10_000);
    expect(accepted).toBeLessThan(50_000);
  });

  test.each([
    ["phase", "scatter"],
    ["wire", "f16"],
    ["runId", "000102030405060708090A0B0C0D0E0F"],
    ["runId", "00"],
    ["epoch", -1],
    ["op", 2 ** 32],
    ["attempt", 0.5],
    ["bucket", Number.NaN],
    ["hop", 0x1_0000],
    ["segment", -1],
    ["offset", U32],
    ["elements", 0],
    ["elements", 2 ** 32 - 1],
    ["checksum", 2 ** 32],
  ])("is not written with %s = %s", (field, value) => {
    const bad = { ...header, [field]: value } as ChunkHeader;
    expect(clusterCodeOf(() => encodeChunkHeader(bad))).toBe("argument_invalid");
  });
});

describe("payload of a chunk", () => {
  const payload = new Uint8Array(bytesOf(300, "int8"));

  test("is accepted as announced", () => {
    checkLength({ ...header, elements: 300, wire: "int8" }, payload);
    checkChecksum({ ...header, checksum: 2 ** 32 - 1 }, 2 ** 32 - 1);
  });

  test("is refused a byte short, a byte long and with another checksum", () => {
    for (const length of [0, payload.length - 1, payload.length + 1]) {
      const bytes = new Uint8Array(length);
      const check = (): void => checkLength({ ...header, elements: 300, wire: "int8" }, bytes);
      expect(clusterCodeOf(check)).toBe("frame_invalid");
    }
    const check = (): void => checkChecksum({ ...header, checksum: 1 }, 2);
    expect(clusterCodeOf(check)).toBe("frame_invalid");
  });
});
