/**
 * The header of a chunk: 64 bytes, little-endian, a binary message of its own right before that of the payload.
 *
 *   0 magic "FGC1"      u32      24 epoch     u32      44 offset, in blocks      u32
 *   4 protocol version  u16      28 op        u32      48 elements               u32
 *   6 phase             u8       32 attempt   u32      52 bytes of the payload   u32
 *   7 wire type         u8       36 bucket    u32      56 checksum of payload    u32
 *   8 run id       16 bytes      40 hop       u16      60 crc32 of bytes 0 … 59  u32
 *                                42 segment   u16
 */
import { crc32 } from "node:zlib";
import { ClusterError } from "../error.ts";
import type { Phase } from "../ring/segments.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../ring/wire-type.ts";
import { PROTOCOL_VERSION } from "./version.ts";

/** Length of a header. */
export const CHUNK_HEADER_BYTES = 64;

const MAGIC = Buffer.from("FGC1").readUInt32LE();
const PHASES: readonly Phase[] = ["reduce", "gather"];
const RUN_ID = /^[0-9a-f]{32}$/;
const U16 = 2 ** 16 - 1;
const U32 = 2 ** 32 - 1;

/** Where a chunk belongs, and what its payload is. */
export interface ChunkHeader {
  readonly phase: Phase;
  readonly wire: WireType;
  /** 16 bytes, as 32 lower-case hexadecimal digits. */
  readonly runId: string;
  /** Generation of the membership: the fencing token. */
  readonly epoch: number;
  /** Number of the collective within its epoch. */
  readonly op: number;
  /** Number of the try at that collective. */
  readonly attempt: number;
  readonly bucket: number;
  readonly hop: number;
  readonly segment: number;
  /** First block, from element 0 of the vector. */
  readonly offset: number;
  /** One or more. */
  readonly elements: number;
  /** Of the payload: `ring/checksum.ts`. */
  readonly checksum: number;
}

/** What a receiver lets a header ask for. */
export interface ChunkLimits {
  /** Bytes of a payload at most. */
  readonly chunkBytes: number;
}

/**
 * The 64 bytes of a header.
 *
 * Errors    `argument_invalid` for a field that does not fit its place.
 */
export function encodeChunkHeader(header: ChunkHeader): Uint8Array<ArrayBuffer> {
  if (!RUN_ID.test(header.runId)) refuse("runId", header.runId, "32 lower-case hexadecimal digits");
  const phase = PHASES.indexOf(header.phase);
  const wire = WIRE_TYPES.indexOf(header.wire);
  if (phase < 0) refuse("phase", header.phase, PHASES.join(" or "));
  if (wire < 0) refuse("wire", header.wire, WIRE_TYPES.join(", "));
  checked("elements", header.elements, 1, U32);
  checked("offset", header.offset, 0, lastOffset(header.elements));
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const put16 = (at: number, field: "hop" | "segment"): void =>
    view.setUint16(at, checked(field, header[field], 0, U16), true);
  const put32 = (
    at: number,
    field: "epoch" | "op" | "attempt" | "bucket" | "offset" | "elements" | "checksum",
  ): void => view.setUint32(at, checked(field, header[field], 0, U32), true);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, PROTOCOL_VERSION, true);
  view.setUint8(6, phase);
  view.setUint8(7, wire);
  bytes.set(Buffer.from(header.runId, "hex"), 8);
  put32(24, "epoch");
  put32(28, "op");
  put32(32, "attempt");
  put32(36, "bucket");
  put16(40, "hop");
  put16(42, "segment");
  put32(44, "offset");
  put32(48, "elements");
  const payloadBytes = bytesOf(header.elements, header.wire);
  view.setUint32(52, checked("the payload's length", payloadBytes, 1, U32), true);
  put32(56, "checksum");
  view.setUint32(60, crc32(bytes.subarray(0, 60)), true);
  return bytes;
}

/**
 * Reads a header. That it is well formed says nothing of its place: whether the chunk is awaited here and now is for
 * the collective to say, which knows the epoch and the op.
 *
 * Errors    `frame_invalid` for anything that {@link encodeChunkHeader} does not write, and for a payload over the
 *           limit.
 */
export function decodeChunkHeader(bytes: Uint8Array, limits: ChunkLimits): ChunkHeader {
  if (bytes.length !== CHUNK_HEADER_BYTES) {
    reject("its length is wrong", `${bytes.length} bytes`, `a header has ${CHUNK_HEADER_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const u16 = (at: number): number => view.getUint16(at, true);
  const u32 = (at: number): number => view.getUint32(at, true);
  if (u32(0) !== MAGIC) reject("it does not begin with FGC1", hexOf(bytes.subarray(0, 4)));
  if (u16(4) !== PROTOCOL_VERSION) {
    reject("its version is unknown", `version ${u16(4)}`, `this node speaks ${PROTOCOL_VERSION}`);
  }
  const crc = crc32(bytes.subarray(0, 60));
  if (u32(60) !== crc) reject("its checksum is wrong", `${u32(60)}`, `its bytes have ${crc}`);
  const phase = PHASES[view.getUint8(6)];
  if (phase === undefined) reject("its phase is unknown", String(view.getUint8(6)));
  const wire = WIRE_TYPES[view.getUint8(7)];
  if (wire === undefined) reject("its wire type is unknown", String(view.getUint8(7)));
  const offset = u32(44);
  const elements = u32(48);
  checkLengths(offset, elements, u32(52), wire, limits);
  return {
    phase,
    wire,
    runId: hexOf(bytes.subarray(8, 24)),
    epoch: u32(24),
    op: u32(28),
    attempt: u32(32),
    bucket: u32(36),
    hop: u16(40),
    segment: u16(42),
    offset,
    elements,
    checksum: u32(56),
  };
}

/** Errors: `frame_invalid` unless the payload is as long as its header announces. */
export function checkLength(header: ChunkHeader, payload: Uint8Array): void {
  const announced = bytesOf(header.elements, header.wire);
  if (payload.length === announced) return;
  reject("the payload's length is wrong", `${payload.length} bytes`, `${announced} announced`);
}

/** Errors: `frame_invalid` unless the payload's checksum is the one that its header announces. */
export function checkChecksum(header: ChunkHeader, checksum: number): void {
  if (checksum === header.checksum) return;
  reject("the payload's checksum is wrong", `${checksum}`, `${header.checksum} announced`);
}

function checkLengths(
  offset: number,
  elements: number,
  payloadBytes: number,
  wire: WireType,
  { chunkBytes }: ChunkLimits,
): void {
  const got = `${elements} elements from block ${offset} in ${payloadBytes} bytes`;
  if (elements === 0) reject("it announces no elements", got);
  const needed = bytesOf(elements, wire);
  if (payloadBytes !== needed) {
    reject("its lengths contradict each other", got, `so many take ${needed} as ${wire}`);
  }
  if (payloadBytes > chunkBytes) {
    reject("its payload is too long", got, `the limit is ${chunkBytes} bytes`);
  }
  if (offset > lastOffset(elements)) {
    reject("it reaches beyond the last block that there can be", got);
  }
}

/** The last block at which so many elements can begin. */
function lastOffset(elements: number): number {
  return U32 + 1 - Math.ceil(elements / BLOCK);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

function checked(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  return refuse(field, value, `an integer from ${least} to ${most}`);
}

function refuse(field: string, value: unknown, expected: string): never {
  throw new ClusterError({
    code: "argument_invalid",
    what: `chunk header: ${field} does not fit.`,
    got: String(value),
    fix: `it is ${expected}`,
  });
}

function reject(what: string, got: string, why?: string): never {
  throw new ClusterError({
    code: "frame_invalid",
    what: `chunk: ${what}.`,
    got,
    ...(why !== undefined && { why }),
    fix: "close the connection: what follows cannot be trusted either",
  });
}
