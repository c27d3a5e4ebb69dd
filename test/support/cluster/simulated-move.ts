/** A step that a simulated node moves: the collective of the product, over chunks that a network carries as it likes. */
import { ClusterError } from "../../../cluster/error.ts";
import type { Move } from "../../../cluster/membership/host.ts";
import type { NodeId } from "../../../cluster/membership/record.ts";
import { type ChunkHeader, encodeChunkHeader } from "../../../cluster/protocol/chunk-header.ts";
import type { RingPlace } from "../../../cluster/ring/arrival.ts";
import {
  Collective,
  type OutgoingChunk,
  type Reception,
} from "../../../cluster/ring/collective.ts";
import type { Phase } from "../../../cluster/ring/segments.ts";
import type { ChunkPacket } from "./packet.ts";
import { contributionAt, resultAt, workspaceOf } from "./simulated-memory.ts";

/** Milliseconds without progress, after which a move has failed. */
const PROGRESS = 2000;
/** Milliseconds that the rest of the contribution is ready after the first of it, at most. */
const OVERLAP = 20;

/** What a move is made in. */
export interface MoveParts {
  readonly move: Move;
  readonly node: NodeId;
  /** Of the node's part of the memory. */
  readonly slot: number;
  readonly place: RingPlace;
  readonly contribution: Float32Array;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => void;
  /** A number below 1. */
  readonly chance: () => number;
  readonly send: (to: NodeId, packet: ChunkPacket) => void;
  /** Called once unless it is aborted: with the sum, or without it and with who may be to blame. */
  readonly ended: (sum: Float32Array | undefined, suspect: NodeId | null) => void;
}

/** See the file's head. */
export class SimulatedMove {
  readonly move: Move;
  readonly predecessor: NodeId;
  readonly successor: NodeId;
  /** Whether nothing more comes of it. */
  isOver = false;
  readonly #parts: MoveParts;
  readonly #collective: Collective;
  /** Chunks that come in. */
  readonly #expected: number;
  /** Whether its connections are there no more. */
  #isCut = false;
  #movedAt: number;

  constructor(parts: MoveParts) {
    const { move, node, slot, place, contribution } = parts;
    const { members } = move;
    const [rank, world] = [members.indexOf(node), members.length];
    this.#parts = parts;
    this.move = move;
    this.predecessor = members[(rank + world - 1) % world] as NodeId;
    this.successor = members[(rank + 1) % world] as NodeId;
    this.#movedAt = parts.now();
    contributionAt(slot).set(contribution);
    const space = workspaceOf(slot, rank, world);
    this.#collective = new Collective(space, place);
    const { chunks } = space.plan;
    const comes = (phase: Phase): number =>
      chunks.filter(({ segment }) => space.plan.receivesAt(phase, segment) !== undefined).length;
    this.#expected = comes("reduce") + comes("gather");
  }

  begin(): void {
    const { after, chance } = this.#parts;
    this.#collective.bucketReady(0);
    this.#pump();
    after(OVERLAP * chance(), () => {
      if (this.isOver) return;
      this.#collective.bucketReady(1);
      this.#movedAt = this.#parts.now();
      this.#pump();
      this.#watch();
    });
  }

  /** Takes a chunk, and fails if it is not as it was sent. */
  receive(header: ChunkHeader, payload: Uint8Array): Reception | undefined {
    if (this.isOver) return "late";
    try {
      const reception = this.#collective.receive(header, payload);
      if (reception === "applied") this.#movedAt = this.#parts.now();
      this.#pump();
      return reception;
    } catch (error) {
      if (!(error instanceof ClusterError) || error.code !== "frame_invalid") throw error;
      this.fail(this.predecessor);
      return undefined;
    }
  }

  /** It comes to nothing, and so do its connections. */
  fail(suspect: NodeId | null): void {
    if (this.isOver) return;
    this.abort();
    this.#parts.ended(undefined, suspect);
  }

  /** Nobody wants it any more. */
  abort(): void {
    this.isOver = true;
    this.#isCut = true;
  }

  #pump(): void {
    for (let next = this.#collective.nextChunk(); next; next = this.#collective.nextChunk())
      this.#parts.send(this.successor, this.#packetOf(next));
    if (this.isOver || !this.#collective.isDone) return;
    this.isOver = true;
    this.#parts.ended(resultAt(this.#parts.slot), null);
  }

  #packetOf(outgoing: OutgoingChunk): ChunkPacket {
    const { header, payload } = outgoing;
    const { epoch, phase, hop } = header;
    let isTaken = false;
    return {
      ...{ plane: "chunk", epoch, phase, hop, header: encodeChunkHeader(header), payload },
      isGone: () => this.#isCut,
      taken: () => {
        if (isTaken || this.isOver) return;
        isTaken = true;
        this.#collective.sent(outgoing);
        this.#pump();
      },
    };
  }

  /** As `RingRun` does. */
  #watch(): void {
    const { after, now } = this.#parts;
    after(Math.max(0, this.#movedAt + PROGRESS - now()), () => {
      if (this.isOver) return;
      if (this.#movedAt + PROGRESS > now()) return this.#watch();
      const { chunksIn } = this.#collective.counts;
      const isAllIn = chunksIn === this.#expected;
      this.fail(isAllIn ? this.successor : this.predecessor);
    });
  }
}
