/** A ring of a node on the thread that it is opened on, epoch by epoch, and the collectives that go round it. */
import type { ClusterError } from "../error.ts";
import type { MembershipMessage } from "../membership/message.ts";
import type { NodeId } from "../membership/record.ts";
import { decodeChunkHeader } from "../protocol/chunk-header.ts";
import { arrivalOf, type RingPlace } from "../ring/arrival.ts";
import { type Lane, RingPlan } from "../ring/plan.ts";
import { Workspace } from "../ring/workspace.ts";
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
import type { RingEpoch, RingSpace, Rings, RunPlace } from "./rings.ts";

/** What a node's ring is made with. */
export interface RingPlaneOptions extends DoorOptions {
  /** Which of the parallel rings of the node this is; see `RingShape`. Default: the only one. */
  readonly lane?: Lane;
  /** Milliseconds that a collective may go without progress, as long as nobody says that it is not ready. Default 2000. */
  readonly progressMs?: number;
  /** Milliseconds that a member may go on saying so while nothing moves. Default 600 000. */
  readonly readyMs?: number;
  /** Milliseconds that the neighbours have to be there when an epoch begins. Default 4000. */
  readonly connectMs?: number;
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

/**
 * See the file's head. An epoch has two connections, which all its collectives use, one after the other. What comes for one
 * that has not begun waits, without credit; one that has failed leaves the ring to be aborted.
 * Members that compute are waited for, and those that do nothing are not: see {@link BusySigns}.
 */
export class RingPlane implements Rings {
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
    const { index: lane } = plane.#lane;
    plane.#listener = await listen<MembershipMessage>({ ...options, lane, ring });
    return plane;
  }

  /** The door. */
  get listener(): Listener {
    return this.#listener as Listener;
  }

  get urls(): readonly string[] {
    return [this.listener.url];
  }

  async begin(epoch: RingEpoch): Promise<void> {
    if (this.#ring?.epoch !== epoch.epoch || this.#ring.failure !== undefined) {
      this.#end(aborted("a newer epoch takes its place"));
      this.#ring = this.#made(epoch);
    }
    const ring = this.#ring;
    await ring.links?.ready;
    if (ring.failure !== undefined) throw ring.failure;
  }

  /** As {@link Rings.start}; a place that is none is an error at once. */
  start(
    { shape, phases, memory, places }: RingSpace,
    { op, attempt }: RunPlace,
    signal?: AbortSignal,
  ): RingRun {
    const plan = new RingPlan({ ...shape, lane: this.#lane });
    const space = new Workspace(plan, phases, memory, places);
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

  /** As {@link Rings.abort}; the places of spaces may be used again at once. */
  abort(why = "the leader says so"): void {
    this.#end(aborted(why));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(aborted("the node leaves"));
    this.#ring = undefined;
    await this.#listener?.close();
  }

  get #lane(): Lane {
    return this.#options.lane ?? { index: 0, of: 1 };
  }

  #made({ epoch, members, addressesOf }: RingEpoch): Ring {
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
        world > 1
          ? this.#linksOf(epoch, predecessor, successor, addressesOf, () => ring)
          : undefined,
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
    addressesOf: RingEpoch["addressesOf"],
    ringOf: () => Ring,
  ): RingLinks {
    const { runId, nodeId, token, tls, limits, connectMs = 4000 } = this.#options;
    const { index: lane } = this.#lane;
    const address = addressesOf(predecessor)?.[lane];
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
