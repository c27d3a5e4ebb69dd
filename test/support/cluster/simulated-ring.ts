/** The ring of a simulated node, epoch by epoch: which chunks are for now, which for later, and which for nobody. */
import { ClusterError } from "../../../cluster/error.ts";
import type { Move } from "../../../cluster/membership/host.ts";
import type { NodeId } from "../../../cluster/membership/record.ts";
import { type ChunkHeader, decodeChunkHeader } from "../../../cluster/protocol/chunk-header.ts";
import { arrivalOf, type RingPlace } from "../../../cluster/ring/arrival.ts";
import { Stash } from "../../../cluster/ring/stash.ts";
import type { ChunkPacket } from "./packet.ts";
import { type MoveParts, SimulatedMove } from "./simulated-move.ts";

const RUN_ID = "5f".repeat(16);
const LIMITS = { chunkBytes: 1024 };
const WINDOW = 64;

/** What a ring is made with. */
export interface SimulatedRingParts extends Omit<MoveParts, "move" | "place" | "contribution"> {
  /** The connection with a neighbour of an epoch has ended on this side. */
  readonly onCut: (neighbour: NodeId, epoch: number) => void;
}

/** See the file's head. */
export class SimulatedRing {
  readonly #parts: SimulatedRingParts;
  #place: RingPlace = { runId: RUN_ID, epoch: 0, op: 0, attempt: 0 };
  #move: SimulatedMove | undefined;
  #stash = new Stash(WINDOW);
  /** What the sender is told when a chunk that waits is taken. */
  #owed = new Map<ChunkHeader, () => void>();
  /** Of epochs that have not begun here: the connection is not there yet. */
  #ahead: ChunkPacket[] = [];
  /** Who is to blame for the end of the epoch's connections; undefined while they are there. */
  #cutBy: NodeId | null | undefined;

  constructor(parts: SimulatedRingParts) {
    this.#parts = parts;
  }

  begin(move: Move, contribution: Float32Array): void {
    this.abort();
    if (move.epoch !== this.#place.epoch) {
      this.#place = { ...this.#place, epoch: move.epoch, op: 0 };
      [this.#stash, this.#owed, this.#cutBy] = [new Stash(WINDOW), new Map(), undefined];
    }
    const place = this.#place;
    const made = new SimulatedMove({
      ...{ ...this.#parts, move, place, contribution },
      ended: (sum, suspect) => {
        if (sum) this.#place = { ...place, op: place.op + 1 };
        else this.#end(made, suspect);
        this.#parts.ended(sum, suspect);
      },
    });
    this.#move = made;
    if (this.#cutBy !== undefined) {
      made.fail(this.#cutBy);
      return;
    }
    made.begin();
    for (const { header, payload } of this.#stash.take(place)) {
      if (made.receive(header, payload) === "applied") this.#owed.get(header)?.();
      this.#owed.delete(header);
    }
    for (const packet of this.#ahead.splice(0)) this.receive(packet);
  }

  abort(): void {
    const move = this.#move;
    if (!move || move.isOver) return;
    move.abort();
    this.#end(move, null);
  }

  /** A neighbour has ended the connection, or is gone. */
  cut(epoch: number, suspect: NodeId | null): void {
    if (epoch !== this.#place.epoch) return;
    this.#cutBy ??= suspect;
    this.#move?.fail(suspect);
  }

  receive(packet: ChunkPacket): void {
    if (packet.isGone()) return;
    const { epoch } = this.#place;
    if (packet.epoch < epoch) return;
    if (packet.epoch > epoch) {
      if (this.#ahead.length < WINDOW) this.#ahead.push(packet);
      return;
    }
    // what was not sent yet when it left is not what was meant; by now it has been read from the sender's memory
    this.#take(packet, packet.payload.slice());
  }

  #take(packet: ChunkPacket, payload: Uint8Array): void {
    if (this.#cutBy !== undefined) return;
    try {
      const header = decodeChunkHeader(packet.header, LIMITS);
      const move = this.#move?.isOver === false ? this.#move : undefined;
      const arrival = move ? move.receive(header, payload) : arrivalOf(header, this.#place);
      if (arrival === "applied") packet.taken();
      else if (arrival === "early" || arrival === "now") {
        this.#stash.put(header, payload);
        this.#owed.set(header, packet.taken);
      }
    } catch (error) {
      if (!(error instanceof ClusterError) || error.code !== "frame_invalid") throw error;
      const { members = [] } = this.#move?.move ?? {};
      const rank = members.indexOf(this.#parts.node);
      const suspect = members[(rank + members.length - 1) % members.length] ?? null;
      this.cut(packet.epoch, suspect);
    }
  }

  /** Ends the connections of an epoch; the neighbours see it. */
  #end({ move, predecessor, successor }: SimulatedMove, suspect: NodeId | null): void {
    if (move.epoch !== this.#place.epoch) return;
    this.#cutBy ??= suspect;
    for (const neighbour of new Set([predecessor, successor]))
      if (neighbour !== this.#parts.node) this.#parts.onCut(neighbour, move.epoch);
  }
}
