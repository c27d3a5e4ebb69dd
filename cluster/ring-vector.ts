/** A vector that goes round the ring, in a memory that WebAssembly works on. */

import { ClusterError } from "./error.ts";
import { allocateMemory, type WasmMemory } from "./ring/wasm.ts";
import { bytesOf, type WireType } from "./ring/wire-type.ts";
import type { Phases, Places } from "./ring/workspace.ts";

/** How a vector is given. */
export interface RingVectorOptions {
  /** What this rank gives: in f32, or as it is on the wire, because it was packed elsewhere. Default: in f32. */
  readonly contribution?: "floats" | "packed";
}

/** Packed bytes begin at multiples of this, so that they can be copied as words. */
const ALIGNMENT = 16;

/** A rank's part in the sums of a vector, one after the other. */
export class RingVector {
  readonly length: number;
  readonly wire: WireType;
  readonly memory: WasmMemory;
  /** What comes out, and where what is gathered is put by its owner [length], f32. */
  readonly result: Float32Array;
  readonly #isPacked: boolean;
  readonly #contribution: Float32Array;
  #places: Required<Places>;
  #kept: Float32Array | undefined;

  /** @param length elements, of 4 GiB of memory: 2³⁰ / 2 of f32, / 2.5 of bf16, / 4.3 of int8; of packed ones / 2 and / 3.5 */
  constructor(length: number, wire: WireType, { contribution }: RingVectorOptions = {}) {
    const floats = 4 * length;
    const packedBytes = wire === "f32" ? 0 : bytesOf(length, wire);
    this.#isPacked = contribution === "packed" && wire !== "f32";
    let end = 0;
    const place = (bytes: number): number => {
      const at = end;
      end += ALIGNMENT * Math.ceil(bytes / ALIGNMENT);
      return at;
    };
    const residualBytes = wire === "int8" ? floats : 0;
    this.#places = {
      contribution: place(this.#isPacked ? 0 : floats),
      result: place(floats),
      residual: place(residualBytes),
      nextResidual: place(residualBytes),
      packed: place(packedBytes),
      packedContribution: place(this.#isPacked ? packedBytes : 0),
    };
    this.length = length;
    this.wire = wire;
    this.memory = allocateMemory(end, true);
    const { contribution: given } = this.#places;
    this.#contribution = new Float32Array(this.memory.buffer, given, this.#isPacked ? 0 : length);
    this.result = new Float32Array(this.memory.buffer, this.#places.result, length);
  }

  /** What this rank gives [length], f32. Errors: `argument_invalid` where it is packed. */
  get contribution(): Float32Array {
    if (this.#isPacked) throw misplaced("packed", "packedContribution");
    return this.#contribution;
  }

  /**
   * What this rank gives, as it is on the wire [`bytesOf(length, wire)`]: blocks of 256 elements from element 0, see `WireType`. In
   * f32 those are the bytes of {@link contribution}. What packing has lost is for whoever packs to carry on; what the sums lose
   * besides is carried on here.
   *
   * Errors    `argument_invalid` where it is not packed
   */
  get packedContribution(): Uint8Array {
    const { contribution, packedContribution } = this.#places;
    if (!this.#isPacked && this.wire !== "f32") throw misplaced("not packed", "contribution");
    const at = this.#isPacked ? packedContribution : contribution;
    return new Uint8Array(this.memory.buffer, at, bytesOf(this.length, this.wire));
  }

  /** Where a collective finds the parts that it needs. */
  placesOf(phases: Phases): Places {
    const { contribution, packedContribution, result, residual, nextResidual, packed } =
      this.#places;
    const given = this.#isPacked ? { packedContribution } : { contribution };
    return {
      result,
      ...(phases !== "gather" && given),
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

function misplaced(what: string, where: string): ClusterError {
  return new ClusterError({
    code: "argument_invalid",
    what: `ring vector: what this rank gives is ${what}.`,
    fix: `write it to ${where}`,
  });
}
