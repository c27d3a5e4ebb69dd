/**
 * One rank's part in one attempt at one collective, without sockets, clocks and threads: whoever has those calls
 * {@link Collective.nextChunk} when there is room to send, and {@link Collective.receive} with what comes in.
 *
 * A chunk is sent on as soon as it is reduced; nothing waits for a segment or a bucket. The bits of the result depend on
 * the contributions and their order in the ring alone, not on buckets, chunks, attempts, or the order in which anything
 * becomes ready or arrives; see `segments.ts`.
 */
import { type ChunkHeader, checkChecksum, checkLength } from "../protocol/chunk-header.ts";
import { type Arrival, arrivalOf, type RingPlace } from "./arrival.ts";
import { nonFinite, notNow } from "./collective-error.ts";
import type { Chunk, RingPlan } from "./plan.ts";
import type { Phase } from "./segments.ts";
import { violation } from "./violation.ts";
import { BLOCK } from "./wire-type.ts";
import type { Workspace } from "./workspace.ts";

/** A chunk to be sent. */
export interface OutgoingChunk {
  readonly header: ChunkHeader;
  /** A view of the workspace; see {@link Collective.nextChunk}. */
  readonly payload: Uint8Array;
}

/** What became of a chunk: it was taken, once more or for the first time, or it is for the caller to handle. */
export type Reception = Exclude<Arrival, "now"> | "applied" | "duplicate";

/** What has moved so far. A deadline on progress watches these. */
export interface CollectiveCounts {
  chunksIn: number;
  bytesIn: number;
  chunksOut: number;
  bytesOut: number;
  /** Chunks that were dropped. */
  late: number;
  duplicate: number;
}

interface Outgoing {
  readonly chunk: Chunk;
  readonly phase: Phase;
}

/** What has happened to a chunk here. */
const RECEIVED: Readonly<Record<Phase, number>> = { reduce: 1, gather: 2 };
const TAKEN: Readonly<Record<Phase, number>> = { reduce: 4, gather: 8 };

/**
 * The phases of the workspace decide what it is: `both`, an all-reduce; `reduce`, after which a rank has the sum of the
 * segment it owns, and nothing of use in the rest of the result; `gather`, which hands round the segments that their
 * owners have in the result.
 *
 * After an error it is spent, and throws that error again whatever is asked of it.
 */
export class Collective {
  readonly place: RingPlace;
  readonly counts: Readonly<CollectiveCounts>;
  readonly #plan: RingPlan;
  readonly #space: Workspace;
  readonly #counts: CollectiveCounts;
  readonly #isReduced: boolean;
  readonly #isGathered: boolean;
  readonly #flags: Uint8Array;
  /** Of the payloads received. */
  readonly #checksums: Readonly<Record<Phase, Uint32Array>>;
  readonly #isReady: Uint8Array;
  readonly #outgoing: Outgoing[] = [];
  readonly #underWay = new Set<OutgoingChunk>();
  /** Chunks yet to come in and to be done with, chunks yet to be sent, buckets yet to be ready. */
  readonly #left = { incoming: 0, outgoing: 0, buckets: 0 };
  #failure: unknown;

  constructor(space: Workspace, place: RingPlace) {
    const { plan, phases } = space;
    this.place = place;
    this.#space = space;
    this.#plan = plan;
    this.#isReduced = phases !== "gather";
    this.#isGathered = phases !== "reduce";
    this.#counts = { chunksIn: 0, bytesIn: 0, chunksOut: 0, bytesOut: 0, late: 0, duplicate: 0 };
    this.counts = this.#counts;
    this.#flags = new Uint8Array(plan.chunks.length);
    const none = (): Uint32Array => new Uint32Array(plan.chunks.length);
    this.#checksums = { reduce: none(), gather: none() };
    this.#isReady = new Uint8Array(plan.shape.buckets.length);
    this.#left.buckets = this.#isReady.length;
    for (const phase of phases === "both" ? (["reduce", "gather"] as const) : [phases])
      for (const { segment } of plan.chunks) {
        if (plan.receivesAt(phase, segment) !== undefined) this.#left.incoming++;
        if (plan.sendsAt(phase, segment) !== undefined) this.#left.outgoing++;
      }
  }

  /** Whether all has come in and all is sent. */
  get isDone(): boolean {
    const { incoming, outgoing, buckets } = this.#left;
    return this.#failure === undefined && incoming + outgoing + buckets === 0;
  }

  /**
   * What a bucket has to give is in the memory: its contribution, or with `gather` alone the part of the result that is
   * owned here. It must not change until the collective is over. Buckets become ready once each, in any order: ranks need
   * not agree on it, but those that do wait the least for each other. Of those of other lanes nothing is read.
   *
   * Errors    `non_finite`, and nothing of the bucket is sent; `argument_invalid`.
   */
  bucketReady(bucket: number): void {
    this.#attempt(() => {
      const range = this.#plan.shape.buckets[bucket];
      if (!range || this.#isReady[bucket])
        throw notNow(`bucket ${bucket}`, "each becomes ready once");
      const chunks = this.#plan.chunksOfBucket(bucket);
      const isRead = this.#isReduced && chunks.length > 0;
      if (isRead && !this.#space.isContributionFinite(range)) {
        throw nonFinite("the contribution", range);
      }
      this.#isReady[bucket] = 1;
      this.#left.buckets--;
      for (const chunk of chunks) this.#begin(chunk);
    });
  }

  /**
   * The next chunk to be sent, or undefined if there is none for now: ask again after {@link receive} and
   * {@link bucketReady}.
   *
   * Its payload is a view, and stays as it is until the successor has taken it and as long as the places of the workspace
   * are not written by others: it changes only when the sum comes back round the ring. Other use of the places, by the next
   * collective or another attempt at this one, must wait until the successor has taken all that was sent; after an abort
   * nobody knows, so the connection has to be ended first, or other places used.
   */
  nextChunk(): OutgoingChunk | undefined {
    return this.#attempt(() => {
      const next = this.#outgoing.shift();
      if (!next) return undefined;
      const { chunk, phase } = next;
      const isFirst = phase === "reduce" && chunk.segment === this.#plan.shape.rank;
      const payload = isFirst ? this.#space.first(chunk) : this.#space.payload(chunk);
      const outgoing = { header: this.#headerOf(next, payload), payload };
      this.#flag(chunk, TAKEN[phase]);
      this.#underWay.add(outgoing);
      return outgoing;
    });
  }

  /** A chunk that {@link nextChunk} gave has left. Errors: `argument_invalid` for any other. */
  sent(outgoing: OutgoingChunk): void {
    if (!this.#underWay.delete(outgoing)) throw notNow("a chunk", "it is not under way");
    this.#left.outgoing--;
    this.#counts.chunksOut++;
    this.#counts.bytesOut += outgoing.payload.length;
  }

  /**
   * Where the payload of a chunk that is on its way can be put as it comes, to be given to {@link receive} when it is whole;
   * undefined unless this attempt awaits it now: what is wrong with it, {@link receive} says. Until then nobody may write
   * there, and nobody reads.
   */
  placeOf(header: ChunkHeader): Uint8Array | undefined {
    try {
      if (this.#failure !== undefined || arrivalOf(header, this.place) !== "now") return undefined;
      const chunk = this.#awaited(header);
      return chunk && this.#space.payload(chunk);
    } catch {
      return undefined;
    }
  }

  /**
   * Takes a chunk from the predecessor, in any order. The payload is checked against its header, and may be used again.
   * What is not of this attempt is not looked at: what is `late` is counted, what is `early` belongs into a `Stash`.
   *
   * Errors    `protocol_violated` for what the predecessor cannot have to send here, `frame_invalid` for a payload that is
   *           not the header's, `non_finite` for sums that are not.
   */
  receive(header: ChunkHeader, payload: Uint8Array): Reception {
    return this.#attempt(() => {
      const arrival = arrivalOf(header, this.place);
      if (arrival === "late") this.#counts.late++;
      if (arrival !== "now") return arrival;
      const { phase } = header;
      const chunk = this.#awaited(header);
      if (!chunk) {
        this.#counts.duplicate++;
        return "duplicate";
      }
      checkLength(header, payload);
      this.#space.put(chunk, payload);
      checkChecksum(header, this.#space.checksum(this.#space.payload(chunk)));
      this.#flag(chunk, RECEIVED[phase]);
      this.#checksums[phase][chunk.index] = header.checksum;
      this.#counts.chunksIn++;
      this.#counts.bytesIn += payload.length;
      if (phase === "gather") this.#adopt(chunk);
      else if (this.#isReady[chunk.bucket]) this.#reduce(chunk);
      return "applied";
    });
  }

  /** The chunk of a header of this attempt; undefined for one that has come before. Errors: `protocol_violated`. */
  #awaited(header: ChunkHeader): Chunk | undefined {
    const { phase } = header;
    const isPhase = phase === "reduce" ? this.#isReduced : this.#isGathered;
    if (!isPhase) throw violation("this collective has no such phase", header);
    const chunk = this.#plan.chunkOf(header);
    if (this.#has(chunk, RECEIVED[phase])) {
      if (header.checksum === this.#checksums[phase][chunk.index]) return undefined;
      throw violation("it has come before, with another payload", header);
    }
    if (phase === "gather" && this.#isReduced && !this.#has(chunk, TAKEN.reduce)) {
      throw violation("it is a sum to which this rank has yet to add", header);
    }
    return chunk;
  }

  /** Its bucket is ready. */
  #begin(chunk: Chunk): void {
    const { rank, world } = this.#plan.shape;
    const isOwned = chunk.segment === this.#plan.owned;
    if (world === 1 && this.#isReduced) {
      this.#space.keep(chunk);
      if (!this.#isGathered) this.#space.settle(chunk);
      this.#checkResult(chunk);
    } else if (!this.#isReduced) {
      if (isOwned) this.#finish(chunk);
    } else if (chunk.segment === rank) {
      this.#outgoing.push({ chunk, phase: "reduce" });
    } else if (this.#has(chunk, RECEIVED.reduce)) {
      this.#reduce(chunk);
    }
  }

  /** Adds the contribution to a partial sum that was received, and hands it on or has the sum. */
  #reduce(chunk: Chunk): void {
    this.#left.incoming--;
    this.#space.add(chunk);
    if (chunk.segment !== this.#plan.owned) {
      this.#space.pack(chunk);
      this.#outgoing.push({ chunk, phase: "reduce" });
    } else if (this.#isGathered) {
      this.#finish(chunk);
    } else {
      this.#space.settle(chunk);
      this.#checkResult(chunk);
    }
  }

  /** Makes of an owned chunk what all others will read, and sends it round. */
  #finish(chunk: Chunk): void {
    if (this.#plan.shape.world > 1) {
      this.#space.pack(chunk);
      this.#space.adopt(chunk);
      this.#outgoing.push({ chunk, phase: "gather" });
    }
    this.#checkResult(chunk);
  }

  #adopt(chunk: Chunk): void {
    this.#left.incoming--;
    this.#space.adopt(chunk);
    this.#checkResult(chunk);
    if (this.#plan.sendsAt("gather", chunk.segment) !== undefined) {
      this.#outgoing.push({ chunk, phase: "gather" });
    }
  }

  #headerOf({ chunk, phase }: Outgoing, payload: Uint8Array): ChunkHeader {
    const { runId, epoch, op, attempt } = this.place;
    // sums are handed on as they came
    const isHandedOn = phase === "gather" && chunk.segment !== this.#plan.owned;
    return {
      ...{ phase, wire: this.#plan.shape.wire },
      ...{ runId, epoch, op, attempt },
      bucket: chunk.bucket,
      hop: this.#plan.sendsAt(phase, chunk.segment) as number,
      segment: chunk.segment,
      offset: chunk.from / BLOCK,
      elements: chunk.to - chunk.from,
      checksum: isHandedOn
        ? (this.#checksums.gather[chunk.index] as number)
        : this.#space.checksum(payload),
    };
  }

  #checkResult(chunk: Chunk): void {
    if (!this.#space.isResultFinite(chunk)) throw nonFinite("the result", chunk);
  }

  #has(chunk: Chunk, flag: number): boolean {
    return ((this.#flags[chunk.index] as number) & flag) !== 0;
  }

  #flag(chunk: Chunk, flag: number): void {
    this.#flags[chunk.index] = (this.#flags[chunk.index] as number) | flag;
  }

  /** What fails, fails for good: half of an addition must not be taken for a sum. */
  #attempt<T>(act: () => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return act();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
