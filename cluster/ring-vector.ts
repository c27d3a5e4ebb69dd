/** A vector that goes round the ring, in a memory that WebAssembly works on. */

import { allocateMemory, type WasmMemory } from "./ring/wasm.ts";
import { bytesOf, type WireType } from "./ring/wire-type.ts";
import type { Phases, Places } from "./ring/workspace.ts";

/** A rank's part in the sums of a vector, one after the other. Each array is [length], f32. */
export class RingVector {
  readonly length: number;
  readonly wire: WireType;
  readonly memory: WasmMemory;
  /** What this rank gives. */
  readonly contribution: Float32Array;
  /** What comes out, and where what is gathered is put by its owner. */
  readonly result: Float32Array;
  #places: Required<Places>;
  #kept: Float32Array | undefined;

  /** @param length elements, of 4 GiB of memory: 2³⁰ / 2 of f32, / 2.5 of bf16, / 4.3 of int8 */
  constructor(length: number, wire: WireType) {
    const floats = 4 * length;
    const isInt8 = wire === "int8";
    const packed = (isInt8 ? 4 : 2) * floats;
    this.#places = {
      contribution: 0,
      result: floats,
      residual: 2 * floats,
      nextResidual: 3 * floats,
      packed,
    };
    this.length = length;
    this.wire = wire;
    const bytes = packed + (wire === "f32" ? 0 : bytesOf(length, wire));
    this.memory = allocateMemory(bytes, true);
    this.contribution = new Float32Array(this.memory.buffer, 0, length);
    this.result = new Float32Array(this.memory.buffer, floats, length);
  }

  /** Where a collective finds the parts that it needs. */
  placesOf(phases: Phases): Places {
    const { contribution, result, residual, nextResidual, packed } = this.#places;
    return {
      result,
      ...(phases !== "gather" && { contribution }),
      ...(this.wire !== "f32" && { packed }),
      ...(this.wire === "int8" && { residual, nextResidual }),
    };
  }

  /** What the last sum lost to rounding is added to the next one. */
  carryResidual(): void {
    const { residual, nextResidual } = this.#places;
    this.#places = { ...this.#places, residual: nextResidual, nextResidual: residual };
  }

  /** What is carried is of sums that count: {@link restoreResidual} comes back to it. */
  keepResidual(): void {
    if (this.wire !== "int8") return;
    this.#kept ??= new Float32Array(this.length);
    this.#kept.set(this.#residual);
  }

  /** The sums since {@link keepResidual} came to nothing. */
  restoreResidual(): void {
    if (this.wire !== "int8") return;
    if (this.#kept) this.#residual.set(this.#kept);
    else this.#residual.fill(0);
  }

  /** What was lost is forgotten: of a state that this rank was not there for. */
  clearResidual(): void {
    this.#kept = undefined;
    this.restoreResidual();
  }

  get #residual(): Float32Array {
    return new Float32Array(this.memory.buffer, this.#places.residual, this.length);
  }
}
