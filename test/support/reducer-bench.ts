/** A reducer on a memory of its own, driven with arrays, and numbers to drive it with. */
import { Reducer } from "../../cluster/ring/reducer.ts";
import { allocateMemory } from "../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../cluster/ring/wire-type.ts";
import { randoms } from "./gpu.ts";

/** None, tails alone, whole blocks, whole blocks and a tail. */
export const LENGTHS = [0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1000, 2048, 4099];
/** Zeros, denormals, ties, and the greatest there are. */
export const SPECIALS = [
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  2 ** -126,
  -1.1754942106924411e-38, // the greatest denormal
  1,
  -1,
  1 + 2 ** -8, // ties
  1 + 3 * 2 ** -8,
  -(1 + 2 ** -8),
  3.3895313892515355e38, // the greatest bf16
  -1e38,
];

/** Places of a memory for 8,192 elements each, and behind them a page that nobody may touch. */
export const VALUES = 4096;
export const RESIDUAL = VALUES + 4 * 8192;
export const NEXT = RESIDUAL + 4 * 8192;
export const PACKED = NEXT + 4 * 8192 + 3; // at no multiple of anything
export const BYTES = PACKED + 4 * 8192 + 65_536;

/** A reducer and a memory; what it is given and what it makes of it are arrays. */
export class ReducerBench {
  readonly reducer: Reducer;

  constructor(wire: WireType, isShared = false) {
    this.reducer = new Reducer(allocateMemory(BYTES, isShared), wire);
  }

  floats(at: number, count: number): Float32Array {
    return new Float32Array(this.reducer.memory.buffer, at, count);
  }

  packed(elements: number): Uint8Array {
    const length = bytesOf(elements, this.reducer.wire);
    return new Uint8Array(this.reducer.memory.buffer, PACKED, length);
  }

  /** What values are packed to. */
  pack(values: ArrayLike<number>, residual?: ArrayLike<number>): Uint8Array {
    this.floats(VALUES, values.length).set(values);
    this.floats(RESIDUAL, values.length)
      .fill(0)
      .set(residual ?? []);
    const feedback = { residual: RESIDUAL, nextResidual: NEXT };
    this.reducer.pack(VALUES, PACKED, values.length, feedback);
    return this.packed(values.length).slice();
  }

  unpack(packed: Uint8Array, elements: number): Float32Array {
    this.packed(elements).set(packed);
    this.reducer.unpack(VALUES, PACKED, elements);
    return this.floats(VALUES, elements).slice();
  }

  add(packed: Uint8Array, own: ArrayLike<number>): Float32Array {
    this.packed(own.length).set(packed);
    this.floats(VALUES, own.length).set(own);
    this.reducer.add(VALUES, PACKED, own.length);
    return this.floats(VALUES, own.length).slice();
  }
}

/** One of each wire type. */
export const benches = Object.fromEntries(
  WIRE_TYPES.map((wire) => [wire, new ReducerBench(wire)]),
) as Record<WireType, ReducerBench>;

/** Numbers of all sizes, with all that is special among them. */
export function varied(count: number, seed: number): Float32Array {
  const random = randoms(seed);
  return Float32Array.from({ length: count }, () => {
    const special = SPECIALS[Math.floor(random.next() * 3 * SPECIALS.length)];
    return special ?? (random.next() - 0.5) * 2 ** (random.next() * 200 - 100);
  });
}

/** Numbers of one size, as gradients are. */
export function plain(count: number, seed: number): Float32Array {
  return randoms(seed).floats(count);
}

export function bitsOf(values: ArrayLike<number>): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}

export function blocksOf(values: Float32Array): number[][] {
  const count = Math.ceil(values.length / BLOCK);
  return Array.from({ length: count }, (_, b) => [...values.slice(b * BLOCK, (b + 1) * BLOCK)]);
}
