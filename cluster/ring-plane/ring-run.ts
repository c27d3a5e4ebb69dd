/** One collective over two connections, from its beginning to its end. */
import { ClusterError } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import { type ChunkHeader, encodeChunkHeader } from "../protocol/chunk-header.ts";
import type { RingPlace } from "../ring/arrival.ts";
import { Collective, type CollectiveCounts, type Reception } from "../ring/collective.ts";
import type { Phase } from "../ring/segments.ts";
import type { Workspace } from "../ring/workspace.ts";
import type { Clock } from "../transport/clock.ts";
import type { RingSender } from "../transport/ring-connection.ts";
import { spoiled, stalled, unready } from "./failure.ts";

/** Chunks that wait in the sender for room, so that there is one when there is. */
const AHEAD = 2;

/** A neighbour's silence is its own only when we could have heard it: who was stopped itself has to listen first. */
const OWN_DELAY = 0.25;

/** What a collective is moved with. */
export interface RingRunParts {
  readonly space: Workspace;
  readonly place: RingPlace;
  /** None in a ring of one. */
  readonly sender: RingSender | undefined;
  readonly predecessor: NodeId;
  readonly successor: NodeId;
  readonly clock: Clock;
  /** Milliseconds without progress. */
  readonly progressMs: number;
  /** Milliseconds that a member may let the others wait. */
  readonly readyMs: number;
}

/** See the file's head. Its owner hands it what comes in. */
export class RingRun {
  readonly place: RingPlace;
  /**
   * Resolves when all has come in and the successor has taken all that was sent: the places of the workspace are the
   * caller's again. When it rejects they are so only after the connections have been ended.
   */
  readonly done: Promise<void>;
  readonly #parts: RingRunParts;
  readonly #collective: Collective;
  readonly #expected: number;
  #unready: number;
  #sending = 0;
  /** When we became ready, or a chunk came last. */
  #movedAt: number;
  /** When and by whom it was said last that a member is not ready. */
  #busy: { readonly at: number; readonly member: NodeId } | undefined;
  #cancelDeadline = (): void => {};
  #settle: { readonly resolve: () => void; readonly reject: (error: unknown) => void };
  #isFlushing = false;
  #isOver = false;
  #hasFailed = false;

  constructor(parts: RingRunParts) {
    const { space, place, clock } = parts;
    this.#parts = parts;
    this.place = place;
    this.#collective = new Collective(space, place);
    this.#expected = chunksInOf(space);
    this.#unready = space.plan.shape.buckets.length;
    this.#movedAt = clock.now();
    this.#settle = { resolve: () => {}, reject: () => {} };
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.done.catch(() => {});
    if (this.#unready === 0) this.#watch();
    this.#pump();
  }

  /** What has moved so far. */
  get counts(): Readonly<CollectiveCounts> {
    return this.#collective.counts;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it is under way, and nobody waits for us: all buckets are ready. */
  get isReady(): boolean {
    return !this.#isOver && this.#unready === 0;
  }

  /** Whether it has come to nothing. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** As {@link Collective.bucketReady}. What is wrong with it rejects {@link done}. */
  bucketReady(bucket: number): void {
    if (this.#isOver) return;
    this.#try(() => this.#collective.bucketReady(bucket));
    if (--this.#unready === 0) {
      this.#movedAt = this.#parts.clock.now();
      this.#watch();
    }
    this.#pump();
  }

  /** As {@link Collective.placeOf}. */
  placeOf(header: ChunkHeader): Uint8Array | undefined {
    return this.#isOver ? undefined : this.#collective.placeOf(header);
  }

  /** As {@link Collective.receive}. */
  receive(header: ChunkHeader, payload: Uint8Array): Reception {
    if (this.#isOver) return "late";
    try {
      const reception = this.#collective.receive(header, payload);
      if (reception === "applied") this.#movedAt = this.#parts.clock.now();
      this.#pump();
      return reception;
    } catch (error) {
      const isKnown = error instanceof ClusterError;
      this.fail(isKnown ? spoiled(this.#parts.predecessor, error) : error);
      // sums that are not finite are nobody's breach of the protocol
      if (isKnown && error.code === "non_finite") return "applied";
      throw error;
    }
  }

  /** A member is there, and not ready for this collective or one before it: it is waited for. */
  waitFor(member: NodeId): void {
    this.#busy = { at: this.#parts.clock.now(), member };
  }

  /** It comes to nothing. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = this.#hasFailed = true;
    this.#cancelDeadline();
    this.#settle.reject(error);
  }

  #pump(): void {
    const { sender } = this.#parts;
    while (sender && !this.#isOver && this.#sending < AHEAD) {
      const next = this.#try(() => this.#collective.nextChunk());
      if (!next) break;
      this.#sending++;
      sender.send(encodeChunkHeader(next.header), next.payload).then(
        () => {
          this.#sending--;
          if (this.#isOver) return;
          this.#collective.sent(next);
          this.#pump();
        },
        // the connection has ended, which its owner knows better
        () => {},
      );
    }
    if (!this.#isOver && this.#collective.isDone) this.#flush();
  }

  /** The successor reads from the places of the workspace until it has done with all of it. */
  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    const end = (): void => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#cancelDeadline();
      this.#settle.resolve();
    };
    const { sender } = this.#parts;
    if (sender) sender.whenIdle().then(end, () => {});
    else end();
  }

  /** Watches for progress, once nobody waits for us. */
  #watch(): void {
    const { clock, progressMs, readyMs, predecessor, successor, sender } = this.#parts;
    if (this.#isOver || !sender) return;
    const due = this.#heardAt + progressMs;
    this.#cancelDeadline = clock.after(Math.max(0, due - clock.now()), () => {
      const now = clock.now();
      if (now > due + OWN_DELAY * progressMs) this.#movedAt = now;
      if (this.#heardAt + progressMs > now) {
        const late = now - this.#movedAt > readyMs ? this.#busy : undefined;
        return late ? this.fail(unready(late.member, readyMs)) : this.#watch();
      }
      const isAllIn = this.#collective.counts.chunksIn === this.#expected;
      if (isAllIn) this.fail(stalled(successor, "the successor takes no chunks", progressMs));
      else this.fail(stalled(predecessor, "no chunk has come in time", progressMs));
    });
  }

  get #heardAt(): number {
    return Math.max(this.#movedAt, this.#busy?.at ?? this.#movedAt);
  }

  #try<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }
}

/** Chunks that come in. */
function chunksInOf({ plan, phases }: Workspace): number {
  const all: readonly Phase[] = phases === "both" ? ["reduce", "gather"] : [phases];
  return all.reduce(
    (sum, phase) =>
      sum +
      plan.chunks.filter(({ segment }) => plan.receivesAt(phase, segment) !== undefined).length,
    0,
  );
}
