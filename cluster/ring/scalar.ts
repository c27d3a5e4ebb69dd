/**
 * Packing and adding in plain JavaScript, an element at a time: what the kernels of `reducer-module.ts` do to whole
 * blocks, with the same bits unless there are NaN or infinities. It takes the short block at the end of a vector.
 *
 * Sums, products and quotients of two f32 are computed in f64 and rounded once more, which is as good as one rounding.
 */
import { BLOCK, type WireType } from "./wire-type.ts";

/** Added to and taken from a small number, it leaves the nearest integer, ties to even. */
const ROUNDS = 1.5 * 2 ** 52;

/** What earlier roundings lost, and what this one loses. They may be one array. */
export interface Feedback<Place> {
  readonly residual: Place;
  readonly nextResidual: Place;
}

/** Packs values from the start of a block on. Only `int8` looks at the feedback. */
export function packScalar(
  wire: WireType,
  values: Float32Array,
  packed: DataView,
  feedback: Feedback<Float32Array>,
): void {
  if (wire === "int8") {
    packInt8(values, packed, feedback);
    return;
  }
  for (const [i, value] of values.entries()) {
    if (wire === "f32") packed.setFloat32(4 * i, value, true);
    else packed.setUint16(2 * i, bf16Of(value), true);
  }
}

/** Puts what was received into the place of the values. */
export function unpackScalar(wire: WireType, packed: DataView, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = valueAt(wire, packed, i);
}

/** Adds what was received to the values. */
export function addScalar(wire: WireType, packed: DataView, sum: Float32Array): void {
  for (const [i, value] of sum.entries()) sum[i] = valueAt(wire, packed, i) + value;
}

/** Whether the first so many packed values are free of NaN and infinities; of `int8`, all that their scales can say. */
export function isFiniteScalar(wire: WireType, packed: DataView, elements: number): boolean {
  for (let i = 0; i < elements; i++) {
    const value = wire === "int8" ? 127 * scaleAt(packed, i) : valueAt(wire, packed, i);
    if (!Number.isFinite(Math.fround(value))) return false;
  }
  return true;
}

function valueAt(wire: WireType, packed: DataView, i: number): number {
  switch (wire) {
    case "f32":
      return packed.getFloat32(4 * i, true);
    case "bf16":
      return floatOf(packed.getUint16(2 * i, true) << 16);
    case "int8":
      return Math.fround(packed.getInt8(4 * (Math.floor(i / BLOCK) + 1) + i) * scaleAt(packed, i));
  }
}

/** Of the block of an element. */
function scaleAt(packed: DataView, i: number): number {
  return packed.getFloat32(Math.floor(i / BLOCK) * (4 + BLOCK), true);
}

function packInt8(
  values: Float32Array,
  packed: DataView,
  { residual, nextResidual }: Feedback<Float32Array>,
): void {
  let at = 0;
  for (let from = 0; from < values.length; from += BLOCK) {
    const to = Math.min(from + BLOCK, values.length);
    let max = 0;
    for (let i = from; i < to; i++) {
      const x = Math.fround((values[i] as number) + (residual[i] as number));
      nextResidual[i] = x;
      max = Math.max(max, Math.abs(x)); // NaN stays
    }
    const scale = Math.fround(max / 127);
    packed.setFloat32(at, scale, true);
    at += 4;
    for (let i = from; i < to; i++) {
      const x = nextResidual[i] as number;
      const quotient = quantised(x, scale);
      packed.setInt8(at++, quotient);
      nextResidual[i] = x - Math.fround(quotient * scale);
    }
  }
}

/** The bounds are met only where the scale is so small that it has lost digits itself; where it is 0, so is this. */
function quantised(x: number, scale: number): number {
  const quotient = scale === 0 ? 0 : Math.fround(x / scale);
  return Math.min(Math.max(quotient, -127), 127) + ROUNDS - ROUNDS;
}

function bf16Of(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  const bits = bitsOf(value);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return bits[0] as number;
}

function floatOf(pattern: number): number {
  bits[0] = pattern;
  return float[0] as number;
}
