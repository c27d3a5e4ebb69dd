/** The data plane of a node, on whatever threads it is: one ring of an epoch, or several beside each other. */
import type { NodeId } from "../membership/record.ts";
import type { RingPlace } from "../ring/arrival.ts";
import type { RingShape } from "../ring/plan.ts";
import type { WasmMemory } from "../ring/wasm.ts";
import type { Phases, Places } from "../ring/workspace.ts";

/** Who is in the rings of an epoch. */
export interface RingEpoch {
  readonly epoch: number;
  /** Sorted; the place of a node is its rank. */
  readonly members: readonly NodeId[];
  /** Where the rings of a node are, in the order of {@link Rings.urls}. */
  readonly addressesOf: (node: NodeId) => readonly string[] | undefined;
}

/** A vector, how it is cut, and where it is. */
export interface RingSpace {
  readonly shape: Omit<RingShape, "lane">;
  readonly phases: Phases;
  /** Shared, where there are threads. */
  readonly memory: WasmMemory;
  readonly places: Places;
}

/** Which collective of the epoch, and which try at it. */
export type RunPlace = Pick<RingPlace, "op" | "attempt">;

/** A collective under way. */
export interface RingsRun {
  /** As `Collective.bucketReady`. What is wrong with it rejects {@link done}. */
  bucketReady(bucket: number): void;
  /**
   * Resolves when all has come in and the successor has taken all that was sent: the places are the caller's again. When it
   * rejects they are so only after the epoch has been ended.
   */
  readonly done: Promise<void>;
}

/** See the file's head. */
export interface Rings extends AsyncDisposable {
  /** Where they are dialled: one address for each ring that goes round at once. */
  readonly urls: readonly string[];
  /**
   * Begins an epoch, and ends the connections of the last one; resolves when all neighbours are there. One that is under way
   * already is not begun again.
   *
   * Errors    `argument_invalid`; of neighbours, with the suspect: `peer_unreachable`, `peer_stalled`, `connection_closed`
   *           and what else a door answers; `collective_aborted`
   */
  begin(epoch: RingEpoch): Promise<void>;
  /**
   * Begins a collective of the epoch; the caller says which buckets are ready. Collectives come one after the other, in the same
   * order at all ranks; attempts at one rise. The signal aborts the epoch.
   *
   * Errors    `argument_invalid` for a space that is none; {@link RingsRun.done} rejects with it for a place that is none, and with
   *           `peer_stalled`, `connection_closed`, `frame_invalid`, `protocol_violated`, with the suspect; `non_finite`;
   *           `collective_aborted`
   */
  start(space: RingSpace, place: RunPlace, signal?: AbortSignal): RingsRun;
  /**
   * Ends the epoch, its connections and its collective. Other members hear of it as of an end that is nobody's fault.
   */
  abort(why?: string): void;
}
