/** The data plane of a node: its ring, epoch by epoch, and the collectives that go round it. */
import type { ClusterError } from "../error.ts";
import type { MembershipMessage } from "../membership/message.ts";
import type { NodeId } from "../membership/record.ts";
import { decodeChunkHeader } from "../protocol/chunk-header.ts";
import { arrivalOf, type RingPlace } from "../ring/arrival.ts";
import type { Workspace } from "../ring/workspace.ts";
import { type Clock, systemClock } from "../transport/clock.ts";
import { CLOSE } from "../transport/close-code.ts";
import { limitsOf, type TransportLimits } from "../transport/limits.ts";
import {
  type DoorOptions,
  type Listener,
  type ListenOptions,
  listen,
} from "../transport/listener.ts";
import type { RingSender } from "../transport/ring-connection.ts";
import { BusySigns } from "./busy-signs.ts";
import { EarlyChunks } from "./early-chunks.ts";
import { aborted, misused } from "./failure.ts";
import { RingLinks } from "./ring-links.ts";
import { RingRun } from "./ring-run.ts";

/** What a node's ring is made with. */
export interface RingPlaneOptions extends DoorOptions {
  /** Which of the parallel rings of the node this is; see `RingShape`. Default 0. */
  readonly lane?: number;
  /** Milliseconds that a collective may go without progress, as long as nobody says that it is not ready. Default 2000. */
  readonly progressMs?: number;
  /** Milliseconds that a member may go on saying so while nothing moves. Default 600 000. */
  readonly readyMs?: number;
  /** Milliseconds that the neighbours have to be there when an epoch begins. Default 4000. */
  readonly connectMs?: number;
}

/** Who is in the ring of an epoch. */
export interface RingEpoch {
  readonly epoch: number;
  /** Sorted; the place of a node is its rank. */
  readonly members: readonly NodeId[];
  /** Where the ring of a node is. */
  readonly addressOf: (node: NodeId) => string | undefined;
}

/** A ring under way. */
interface Ring {
  readonly epoch: number;
  readonly predecessor: NodeId;
  readonly successor: NodeId;
  /** None in a ring of one. */
  readonly links: RingLinks | undefined;
  readonly early: EarlyChunks;
  readonly signs: BusySigns;
  /** The collective that is next, or the last one begun. */
  place: RingPlace;
  run: RingRun | undefined;
  failure: unknown;
}

/** Which collective of the epoch, and which try at it. */
export type RunPlace = Pick<RingPlace, "op" | "attempt">;

/**
 * See the file's head. An epoch has two connections, which all its collectives use, one after the other. What comes for one
 * that has not begun waits, without credit; one that has failed leaves the ring to be aborted.
 * Members that compute are waited for, and those that do nothing are not: see {@link BusySigns}.
 */
export class RingPlane implements AsyncDisposable {
  readonly #options: RingPlaneOptions;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  #listener: Listener | undefined;
  #ring: Ring | undefined;

  private constructor(options: RingPlaneOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#limits = limitsOf(options.limits);
  }

  /** Listens at a door of its own. Errors: those of `listen`. */
  static async open(options: RingPlaneOptions): Promise<RingPlane> {
    const plane = new RingPlane(options);
    const ring: ListenOptions<MembershipMessage>["ring"] = { open: plane.#admit };
    plane.#listener = await listen<MembershipMessage>({ ...options, ring });
    return plane;
  }

  /** The door. */
  get listener(): Listener {
    return this.#listener as Listener;
  }

  /** The epoch under way. */
  get epoch(): number | undefined {
    return this.#ring?.epoch;
  }

  /**
   * Begins an epoch, and ends the connections of the last one; resolves when both neighbours are there. One that is under way
   * already is not begun again.
   *
   * Errors    `argument_invalid`; of neighbours, with the suspect: `peer_unreachable`, `peer_stalled`, `connection_closed`
   *           and what else a door answers; `collective_aborted`.
   */
  async begin({ epoch, members, addressOf }: RingEpoch): Promise<void> {
    if (this.#ring?.epoch !== epoch || this.#ring.failure !== undefined) {
      this.#end(aborted("a newer epoch takes its place"));
      this.#ring = this.#made({ epoch, members, addressOf });
    }
    const ring = this.#ring;
    await ring.links?.ready;
    if (ring.failure !== undefined) throw ring.failure;
  }

  /**
   * Begins a collective of the epoch; the caller says which buckets are ready. Collectives come one after the other, in the
   * same order at all ranks; attempts at one rise. The signal aborts the epoch.
   *
   * Errors    `argument_invalid`; what has befallen the ring rejects {@link RingRun.done}.
   */
  start(space: Workspace, { op, attempt }: RunPlace, signal?: AbortSignal): RingRun {
    const onAbort = (): void => this.abort("its caller gives up");
    if (signal?.aborted) onAbort();
    const ring = this.#ring;
    if (!ring) throw misused("no epoch has begun", "wait for begin");
    if (ring.run && !ring.run.isOver)
      throw misused("a collective is under way", "wait for its end");
    if (ring.failure === undefined && ring.links && !ring.links.sender) {
      throw misused("the neighbours are not there yet", "wait for begin");
    }
    const place = { ...ring.place, op, attempt };
    if (op < ring.place.op || (op === ring.place.op && attempt < ring.place.attempt)) {
      throw misused("this collective is over", "count collectives, and attempts at each");
    }
    const run = new RingRun({
      ...{ space, place, clock: this.#clock, progressMs: this.#progressMs },
      ...{ predecessor: ring.predecessor, successor: ring.successor },
      readyMs: this.#options.readyMs ?? 600_000,
      sender: ring.links?.sender,
    });
    ring.run = run;
    ring.place = place;
    signal?.addEventListener("abort", onAbort, { once: true });
    const unsign = (): void => signal?.removeEventListener("abort", onAbort);
    run.done.then(unsign, unsign);
    run.done.then(
      () => {
        ring.place = { ...place, op: op + 1, attempt: 0 };
      },
      () => {
        ring.place = { ...place, attempt: attempt + 1 };
      },
    );
    if (ring.failure !== undefined) run.fail(ring.failure);
    else ring.early.give(place, ({ header, payload }) => run.receive(header, payload));
    return run;
  }

  /**
   * Moves a collective, all of whose buckets are ready, to its end; as {@link start}.
   *
   * Errors    `peer_stalled`, `connection_closed`, `frame_invalid`, `protocol_violated`, with the suspect; `non_finite`;
   *           `collective_aborted`; `argument_invalid`.
   */
  async run(space: Workspace, place: RunPlace, signal?: AbortSignal): Promise<void> {
    const run = this.start(space, place, signal);
    for (const bucket of space.plan.shape.buckets.keys()) run.bucketReady(bucket);
    await run.done;
  }

  /**
   * Ends the epoch, its connections and its collective; the places of workspaces may then be used again. Other members hear
   * of it as of an end that is nobody's fault.
   */
  abort(why = "the leader says so"): void {
    this.#end(aborted(why));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(aborted("the node leaves"));
    this.#ring = undefined;
    await this.#listener?.close();
  }

  #made({ epoch, members, addressOf }: RingEpoch): Ring {
    const { nodeId, runId } = this.#options;
    const rank = members.indexOf(nodeId);
    const world = members.length;
    if (rank < 0) throw misused("the node is no member of the epoch", "begin those it is in");
    const predecessor = members[(rank + world - 1) % world] as NodeId;
    const successor = members[(rank + 1) % world] as NodeId;
    this.listener.openEpoch(epoch, world > 1 ? [successor] : []);
    const early = new EarlyChunks(this.#limits.window);
    const place = { runId, epoch, op: 0, attempt: 0 };
    const signs = new BusySigns({
      ...{ members, rank, clock: this.#clock, progressMs: this.#progressMs },
      awaited: () => (ring.run?.isReady || ring.run?.hasFailed ? undefined : ring.place.op),
      tell: (sign) => ring.links?.sender?.busy(sign),
      onBusy: (member, op) => {
        if (ring.run && op <= ring.run.place.op) ring.run.waitFor(member);
      },
    });
    const ring: Ring = {
      ...{ epoch, predecessor, successor, early, signs, place, run: undefined, failure: undefined },
      links:
        world > 1 ? this.#linksOf(epoch, predecessor, successor, addressOf, () => ring) : undefined,
    };
    if (ring.links) signs.begin();
    return ring;
  }

  get #progressMs(): number {
    return this.#options.progressMs ?? 2000;
  }

  #linksOf(
    epoch: number,
    predecessor: NodeId,
    successor: NodeId,
    addressOf: RingEpoch["addressOf"],
    ringOf: () => Ring,
  ): RingLinks {
    const { runId, nodeId, token, tls, limits, lane = 0, connectMs = 4000 } = this.#options;
    const address = addressOf(predecessor);
    if (address === undefined)
      throw misused(`nobody knows where ${predecessor} is`, "ask the leader");
    return new RingLinks({
      ...{ epoch, lane, successor, connectMs, predecessor: { node: predecessor, address } },
      dial: {
        ...{ runId, nodeId, token, clock: this.#clock },
        ...(tls && { tls }),
        ...(limits && { limits }),
      },
      handlers: {
        place: (header) => this.#placeOf(ringOf(), header),
        chunk: (header, payload) => this.#receive(ringOf(), header, payload),
        busy: (sign) => ringOf().signs.heed(sign),
      },
      onFailure: (error) => {
        const ring = ringOf();
        ring.failure ??= error;
        ring.signs.end();
        ring.run?.fail(error);
      },
    });
  }

  /** Whoever comes with a ticket of the epoch is the successor. */
  readonly #admit = (sender: RingSender): void => {
    const ring = this.#ring;
    if (ring?.links && ring.failure === undefined) ring.links.admit(sender);
    else sender.kill(CLOSE.superseded, "no such epoch");
  };

  #placeOf(ring: Ring, bytes: Uint8Array): Uint8Array | undefined {
    const header = decodeChunkHeader(bytes, { chunkBytes: this.#limits.chunkBytes });
    return ring.run?.placeOf(header);
  }

  #receive(ring: Ring, bytes: Uint8Array, payload: Uint8Array): void | Promise<void> {
    const header = decodeChunkHeader(bytes, { chunkBytes: this.#limits.chunkBytes });
    const run = ring.run?.isOver === false ? ring.run : undefined;
    if (run)
      return run.receive(header, payload) === "early" ? ring.early.put(header, payload) : undefined;
    const arrival = arrivalOf(header, ring.place);
    if (arrival === "now" || arrival === "early") return ring.early.put(header, payload);
  }

  #end(error: ClusterError): void {
    const ring = this.#ring;
    if (!ring) return;
    ring.failure ??= error;
    ring.signs.end();
    ring.links?.end(error);
    ring.run?.fail(error);
  }
}
