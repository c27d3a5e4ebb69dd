/**
 * TensorBoard's event files as bytes: records of TFRecord, each an `Event` of tensorflow/core/util/event.proto.
 *
 * A record is its length (u64), the masked CRC of that, the event, and the masked CRC of the event, all little-endian. A mask
 * is the CRC-32C rotated right by 15 bits plus 0xa282ead8 (tensorflow/core/lib/hash/crc32c.h).
 */
import type { Metrics } from "./metrics.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What every event has. */
interface EventHead {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
}

/** The first record of a file: the version of the format. */
export function versionRecord(wallTime: number): Bytes {
  return record(event({ wallTime, step: 0 }, bytesField(3, text("brain.Event:2"))));
}

/** The record by which readers forget what earlier files of the directory say of this step and later ones. */
export function restartRecord(head: EventHead): Bytes {
  const START = 1;
  return record(event(head, bytesField(7, [...key(1, VARINT), ...varint(START)])));
}

/** Metrics of a step. They become f32. */
export function scalarsRecord(head: EventHead, metrics: Metrics): Bytes {
  const values = Object.entries(metrics).flatMap(([tag, value]) =>
    bytesField(1, [...bytesField(1, text(tag)), ...key(2, FIXED32), ...float32(value)]),
  );
  return record(event(head, bytesField(5, values)));
}

function event({ wallTime, step }: EventHead, what: readonly number[]): readonly number[] {
  return [...key(1, FIXED64), ...float64(wallTime), ...key(2, VARINT), ...varint(step), ...what];
}

function record(data: readonly number[]): Bytes {
  const bytes = new Uint8Array(data.length + 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(bytes.subarray(12, 12 + data.length)), true);
  return bytes;
}

/** Wire types of protocol buffers. */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

function key(field: number, wireType: number): readonly number[] {
  return varint(field * 8 + wireType);
}

/** A whole number from 0 to 2^53, seven bits a byte, lowest first. */
function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

function bytesField(field: number, bytes: readonly number[]): readonly number[] {
  return [...key(field, LENGTH_DELIMITED), ...varint(bytes.length), ...bytes];
}

function text(string: string): readonly number[] {
  return [...new TextEncoder().encode(string)];
}

function float32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return bytes;
}

function float64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return bytes;
}

/** CRC-32C (Castagnoli, reflected 0x82f63b78) of each byte alone. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = Number(CRC_TABLE[(crc ^ byte) & 0xff]) ^ (crc >>> 8);
  crc = ~crc;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
