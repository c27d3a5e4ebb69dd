/** The arithmetic of the ring over a WebAssembly memory: packing for the wire, adding what comes in, adopting it. */
import { ClusterError } from "../error.ts";
import { CHECKSUM_STEP, checksumEnd } from "./checksum.ts";
import { type ReducerKernels, reducerModule } from "./reducer-module.ts";
import { addScalar, type Feedback, isFiniteScalar, packScalar, unpackScalar } from "./scalar.ts";
import { compile, instantiate, type WasmMemory, type WasmModule } from "./wasm.ts";
import { BLOCK, bytesOf, type WireType } from "./wire-type.ts";

/**
 * Works on ranges of a memory that begin with a block, whose places are given as byte addresses: values in f32 at
 * multiples of 4, packed bytes anywhere. Whole blocks go through SIMD; the short one at the end of a vector does not, and
 * has the same bits as if it did.
 *
 * The order of a ring: a rank packs its contribution and sends it; adds what comes in to its own, packs and sends that;
 * at the last hop of the reduce phase it has the sum of its segment, which it packs and **adopts** by unpacking it, since
 * that is what all others get. From then on packed bytes are handed on as they are. A contribution that is packed already is
 * sent as it is, and added as if it had been received.
 *
 * Errors    `argument_invalid` for places outside of the memory.
 */
export class Reducer {
  readonly memory: WasmMemory;
  readonly wire: WireType;
  readonly #kernels: ReducerKernels;
  /** The memory's, which is of one size: asking it each time costs more than a small kernel. */
  readonly #buffer: ArrayBufferLike;

  /** The memory may be shared with other threads, each of which has a reducer of its own. */
  constructor(memory: WasmMemory, wire: WireType) {
    this.memory = memory;
    this.wire = wire;
    this.#buffer = memory.buffer;
    const isShared = this.#buffer instanceof SharedArrayBuffer;
    this.#kernels = instantiate(moduleFor(isShared), memory) as ReducerKernels;
  }

  /**
   * Packs values for the wire.
   *
   * `int8` packs values + residual and leaves in `nextResidual` what that lost: the addresses of as many f32 each, which
   * may be equal. In a ring each rank packs each element once, so with two of them the old residual is still there when
   * an attempt comes to nothing. Other wire types do without.
   *
   * What is not finite is neither refused nor lost: it comes out as NaN or infinity at the other end.
   */
  pack(values: number, packed: number, elements: number, feedback?: Feedback<number>): void {
    this.#check(values, packed, elements);
    const { blocks, tail } = split(elements);
    switch (this.wire) {
      case "f32":
        this.#bytes(packed, 4 * elements).set(this.#bytes(values, 4 * elements));
        return;
      case "bf16":
        this.#kernels.packBf16(values, packed, blocks);
        break;
      case "int8": {
        const { residual, nextResidual } = this.#checkFeedback(feedback, elements);
        this.#kernels.packInt8(values, residual, nextResidual, packed, blocks);
      }
    }
    if (tail === 0) return;
    const whole = elements - tail;
    const floats = (at: number): Float32Array => this.#floats(at, whole, tail);
    packScalar(this.wire, floats(values), this.#packed(packed, whole, tail), {
      residual: floats(feedback?.residual ?? values),
      nextResidual: floats(feedback?.nextResidual ?? values),
    });
  }

  /** Adds what was received to the values at `sum`. */
  add(sum: number, packed: number, elements: number): void {
    this.#check(sum, packed, elements);
    const { blocks, tail } = split(elements);
    switch (this.wire) {
      case "f32":
        this.#kernels.addF32(sum, packed, blocks);
        break;
      case "bf16":
        this.#kernels.addBf16(sum, packed, blocks);
        break;
      case "int8":
        this.#kernels.addInt8(sum, packed, blocks);
    }
    if (tail === 0) return;
    const whole = elements - tail;
    addScalar(this.wire, this.#packed(packed, whole, tail), this.#floats(sum, whole, tail));
  }

  /** Puts what was received into the place of the values. */
  unpack(values: number, packed: number, elements: number): void {
    this.#check(values, packed, elements);
    const { blocks, tail } = split(elements);
    switch (this.wire) {
      case "f32":
        this.#bytes(values, 4 * elements).set(this.#bytes(packed, 4 * elements));
        return;
      case "bf16":
        this.#kernels.unpackBf16(values, packed, blocks);
        break;
      case "int8":
        this.#kernels.unpackInt8(values, packed, blocks);
    }
    if (tail === 0) return;
    const whole = elements - tail;
    unpackScalar(this.wire, this.#packed(packed, whole, tail), this.#floats(values, whole, tail));
  }

  /** Whether values are free of NaN and infinities: contributions must be, or one peer spoils the step of all. */
  isFinite(values: number, elements: number): boolean {
    this.#checkValues(values, elements);
    const { blocks, tail } = split(elements);
    if (this.#kernels.isFinite(values, blocks) === 0) return false;
    return tail === 0 || this.#floats(values, elements - tail, tail).every(Number.isFinite);
  }

  /** The same of packed values, without unpacking them. */
  isPackedFinite(packed: number, elements: number): boolean {
    if (this.wire === "f32") return this.isFinite(packed, elements);
    this.#checkCount(elements);
    this.#checkPlace("packed", packed, bytesOf(elements, this.wire), 1);
    const { blocks, tail } = split(elements);
    const kernel = this.wire === "bf16" ? "isFiniteBf16" : "isFiniteInt8";
    if (this.#kernels[kernel](packed, blocks) === 0) return false;
    return isFiniteScalar(this.wire, this.#packed(packed, elements - tail, tail), tail);
  }

  /** The checksum of so many bytes; see `checksum.ts`. */
  checksum(at: number, length: number): number {
    this.#checkPlace("bytes", at, length, 1);
    const steps = Math.floor(length / CHECKSUM_STEP);
    const whole = steps * CHECKSUM_STEP;
    const lanes = this.#kernels.checksum(at, steps);
    return checksumEnd(lanes, this.#bytes(at + whole, length - whole), length);
  }

  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, at, length);
  }

  /** The values behind the whole blocks. */
  #floats(at: number, whole: number, tail: number): Float32Array {
    return new Float32Array(this.#buffer, at + 4 * whole, tail);
  }

  /** The packed bytes behind the whole blocks. */
  #packed(at: number, whole: number, tail: number): DataView {
    return new DataView(this.#buffer, at + bytesOf(whole, this.wire), bytesOf(tail, this.wire));
  }

  #check(values: number, packed: number, elements: number): void {
    this.#checkValues(values, elements);
    this.#checkPlace("packed", packed, bytesOf(elements, this.wire), 1);
  }

  #checkValues(values: number, elements: number): void {
    this.#checkCount(elements);
    this.#checkPlace("values", values, 4 * elements, 4);
  }

  #checkCount(elements: number): void {
    if (!Number.isInteger(elements) || elements < 0) refuse("elements", elements, "a count");
  }

  #checkFeedback(feedback: Feedback<number> | undefined, elements: number): Feedback<number> {
    if (!feedback) {
      return refuse("feedback", feedback, "the places of residual and nextResidual for int8");
    }
    this.#checkPlace("residual", feedback.residual, 4 * elements, 4);
    this.#checkPlace("nextResidual", feedback.nextResidual, 4 * elements, 4);
    return feedback;
  }

  #checkPlace(field: string, at: number, length: number, alignment: number): void {
    const { byteLength } = this.#buffer;
    if (Number.isInteger(at / alignment) && at >= 0 && at + length <= byteLength) return;
    const of = alignment === 1 ? "" : `a multiple of ${alignment}, `;
    refuse(field, at, `${of}an address with ${length} bytes behind it in ${byteLength}`);
  }
}

/** Compiled once each. */
const modules = new Map<boolean, WasmModule>();

function moduleFor(isShared: boolean): WasmModule {
  const known = modules.get(isShared) ?? compile(reducerModule(isShared));
  modules.set(isShared, known);
  return known;
}

function split(elements: number): { blocks: number; tail: number } {
  return { blocks: Math.floor(elements / BLOCK), tail: elements % BLOCK };
}

function refuse(field: string, value: unknown, expected: string): never {
  throw new ClusterError({
    code: "argument_invalid",
    what: `reducer: ${field} is wrong.`,
    got: String(value),
    fix: `give ${expected}`,
  });
}
