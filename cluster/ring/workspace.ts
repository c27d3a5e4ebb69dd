/** What a rank does to its part of a memory in a collective, a chunk at a time. It knows neither hops nor headers. */
import { ClusterError } from "../error.ts";
import type { RingPlan } from "./plan.ts";
import { Reducer } from "./reducer.ts";
import type { ElementRange, Phase } from "./segments.ts";
import type { WasmMemory } from "./wasm.ts";
import { bytesOf } from "./wire-type.ts";

/** The halves of an all-reduce that a collective goes through. */
export type Phases = Phase | "both";

/** Byte addresses, of vectors in f32 but for those that are packed. None may overlap another. */
export interface Places {
  /** What this rank gives. Only read. For the reduce phase. */
  readonly contribution?: number;
  /** The same, as it is on the wire, in the place of `contribution`. For `bf16` and `int8`. */
  readonly packedContribution?: number;
  /** What comes out; with `gather` alone, what this rank owns of it goes in. Only written, elsewhere. */
  readonly result: number;
  /** The vector as it is on the wire, for `bf16` and `int8`. Only written. */
  readonly packed?: number;
  /** What earlier roundings lost, for `int8`. Only read. */
  readonly residual?: number;
  /** What it is after this one, for `int8`. Only written. */
  readonly nextResidual?: number;
}

/** Names the places that there must be, with the bytes of each. */
function needsOf(plan: RingPlan, phases: Phases, isPacked: boolean): [keyof Places, number][] {
  const { total, wire } = plan.shape;
  const floats = 4 * total;
  const packed = bytesOf(total, wire);
  const given = isPacked
    ? (["packedContribution", packed] as const)
    : (["contribution", floats] as const);
  return [
    ["result", floats],
    ...(phases === "gather" ? [] : [given]),
    ...(wire === "f32" ? [] : ([["packed", packed]] as const)),
    ...(wire === "int8"
      ? ([
          ["residual", floats],
          ["nextResidual", floats],
        ] as const)
      : []),
  ].map(([name, bytes]) => [name, bytes] as [keyof Places, number]);
}

/**
 * Since contribution and residual are only read, an attempt that comes to nothing leaves no trace: the next one may have
 * another world, and the same places.
 *
 * A contribution that is packed already is sent at the first hop as it is, without what is owed: the residual of that segment stays
 * as it was. What its own packing has lost is known to whoever packed it.
 *
 * In f32 a received chunk waits at its place in the result, and what is sent is sent from there; in other wire types both
 * happen in `packed`. Each element is received at most once in each phase, so there is always room for it.
 */
export class Workspace {
  readonly plan: RingPlan;
  readonly phases: Phases;
  readonly #buffer: ArrayBufferLike;
  readonly #reducer: Reducer;
  /** Adds one f32 vector to another. */
  readonly #adder: Reducer;
  readonly #places: Required<Places>;
  readonly #isPacked: boolean;

  /** Errors    `argument_invalid`. */
  constructor(plan: RingPlan, phases: Phases, memory: WasmMemory, places: Places) {
    const { wire } = plan.shape;
    if (wire === "int8" && phases === "gather") {
      throw refusal(
        "int8 has no gather phase of its own",
        "what it loses would have no contribution to go to",
      );
    }
    this.#isPacked = places.packedContribution !== undefined && wire !== "f32";
    checkPlaces(needsOf(plan, phases, this.#isPacked), places, memory.buffer.byteLength);
    this.plan = plan;
    this.phases = phases;
    this.#buffer = memory.buffer;
    this.#reducer = new Reducer(memory, wire);
    this.#adder = wire === "int8" ? new Reducer(memory, "f32") : this.#reducer;
    const none = Number.NaN; // refused by the reducer
    this.#places = {
      contribution: none,
      packedContribution: none,
      packed: none,
      residual: none,
      nextResidual: none,
      ...places,
    };
  }

  isContributionFinite(range: ElementRange): boolean {
    if (this.#isPacked) return this.#reducer.isPackedFinite(this.#givenAt(range), lengthOf(range));
    return this.#reducer.isFinite(at(this.#places.contribution, range), lengthOf(range));
  }

  isResultFinite(range: ElementRange): boolean {
    return this.#reducer.isFinite(at(this.#places.result, range), lengthOf(range));
  }

  /** The contribution as it is sent at the first hop. */
  first(range: ElementRange): Uint8Array {
    const { contribution } = this.#places;
    if (this.#isPacked) {
      this.#owe(range);
      return this.#bytes(this.#givenAt(range), bytesOf(lengthOf(range), this.plan.shape.wire));
    }
    if (this.#isPlain) return this.#bytes(at(contribution, range), 4 * lengthOf(range));
    this.#pack(contribution, range);
    return this.payload(range);
  }

  /** What was put or packed last, or where the next is to be put. */
  payload(range: ElementRange): Uint8Array {
    const { wire } = this.plan.shape;
    return this.#bytes(this.#payloadAt(range), bytesOf(lengthOf(range), wire));
  }

  /** Puts what was received where it waits, unless it is there already. */
  put(range: ElementRange, payload: Uint8Array): void {
    const at = this.#payloadAt(range);
    if (payload.buffer === this.#buffer && payload.byteOffset === at) return;
    this.#bytes(at, payload.length).set(payload);
  }

  /** The checksum of what {@link first} or {@link payload} gave. */
  checksum(payload: Uint8Array): number {
    return this.#reducer.checksum(payload.byteOffset, payload.length);
  }

  /** Makes the result what was received and the contribution together. */
  add(range: ElementRange): void {
    const { contribution, result } = this.#places;
    if (this.#isPlain) {
      this.#reducer.add(at(result, range), at(contribution, range), lengthOf(range));
      return;
    }
    this.#contribute(range);
    this.#reducer.add(at(result, range), this.#payloadAt(range), lengthOf(range));
  }

  /** Packs the result to be sent. */
  pack(range: ElementRange): void {
    if (!this.#isPlain) this.#pack(this.#places.result, range);
  }

  /** Makes the result what was put or packed last. */
  adopt(range: ElementRange): void {
    if (this.#isPlain) return;
    this.#reducer.unpack(at(this.#places.result, range), this.#payloadAt(range), lengthOf(range));
  }

  /** Adds to a sum that will not be rounded what this rank still owes to it. */
  settle(range: ElementRange): void {
    if (this.plan.shape.wire !== "int8") return;
    const { result, residual, nextResidual } = this.#places;
    this.#adder.add(at(result, range), at(residual, range), lengthOf(range));
    this.#bytes(at(nextResidual, range), 4 * lengthOf(range)).fill(0);
  }

  /** Makes the result the contribution: nobody else is there. */
  keep(range: ElementRange): void {
    this.#contribute(range);
    this.#owe(range);
  }

  #contribute(range: ElementRange): void {
    const { contribution, result } = this.#places;
    if (this.#isPacked)
      this.#reducer.unpack(at(result, range), this.#givenAt(range), lengthOf(range));
    else this.#copy(contribution, result, range);
  }

  /** Nothing is packed: what is owed stays so. */
  #owe(range: ElementRange): void {
    const { residual, nextResidual } = this.#places;
    if (this.plan.shape.wire === "int8") this.#copy(residual, nextResidual, range);
  }

  get #isPlain(): boolean {
    return this.plan.shape.wire === "f32";
  }

  #pack(values: number, range: ElementRange): void {
    const { residual, nextResidual } = this.#places;
    const feedback = { residual: at(residual, range), nextResidual: at(nextResidual, range) };
    const { wire } = this.plan.shape;
    this.#reducer.pack(
      at(values, range),
      this.#payloadAt(range),
      lengthOf(range),
      wire === "int8" ? feedback : undefined,
    );
  }

  #copy(source: number, target: number, range: ElementRange): void {
    const length = 4 * lengthOf(range);
    this.#bytes(at(target, range), length).set(this.#bytes(at(source, range), length));
  }

  #payloadAt(range: ElementRange): number {
    const { result, packed } = this.#places;
    return this.#isPlain ? at(result, range) : packed + bytesOf(range.from, this.plan.shape.wire);
  }

  /** Of the packed contribution. */
  #givenAt(range: ElementRange): number {
    return this.#places.packedContribution + bytesOf(range.from, this.plan.shape.wire);
  }

  #bytes(from: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, from, length);
  }
}

function at(vector: number, { from }: ElementRange): number {
  return vector + 4 * from;
}

function lengthOf({ from, to }: ElementRange): number {
  return to - from;
}

function checkPlaces(
  needs: readonly [keyof Places, number][],
  places: Places,
  memoryBytes: number,
): void {
  const taken: { readonly name: string; readonly from: number; readonly to: number }[] = [];
  for (const [name, bytes] of needs) {
    const from = places[name];
    const alignment = name === "packed" || name === "packedContribution" ? 1 : 4;
    if (from === undefined) throw refusal(`there is no ${name}`, "this collective needs one");
    if (!(Number.isInteger(from / alignment) && from >= 0 && from + bytes <= memoryBytes)) {
      throw refusal(
        `${name} cannot be at ${from}`,
        `${bytes} bytes of ${memoryBytes}, aligned as f32`,
      );
    }
    const to = from + bytes;
    const other = taken.find((place) => from < place.to && place.from < to);
    if (other)
      throw refusal(`${name} and ${other.name} overlap`, "an attempt must be able to fail");
    taken.push({ name, from, to });
  }
}

function refusal(what: string, why: string): ClusterError {
  return new ClusterError({
    code: "argument_invalid",
    what: `workspace: ${what}.`,
    why,
    fix: "see Places for which vectors a collective needs",
  });
}
