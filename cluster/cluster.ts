/** A node of a cluster, whole: its doors, its orders, and the ring of the epoch that it is in. */
import { type BlobRef, BlobStore, blobRoute } from "./blobs/blob-store.ts";
import { fetchBlob } from "./blobs/fetch-blob.ts";
import { fetchSmall } from "./blobs/fetch-small.ts";
import { askStatus, type ClusterStatus } from "./cluster-status.ts";
import { Collectives, type Traffic } from "./collectives.ts";
import { ClusterError } from "./error.ts";
import type { Move } from "./membership/host.ts";
import type { ClusterRecord, NodeId } from "./membership/record.ts";
import { Orders } from "./orders.ts";
import { RingPlane } from "./ring-plane/ring-plane.ts";
import { RunningNode, type RunningNodeOptions } from "./running-node.ts";
import { limitsOf } from "./transport/limits.ts";
import { addressOf } from "./transport/node-address.ts";
import { NodeClient } from "./transport/node-client.ts";
import type { Route } from "./transport/route.ts";

/** How a node is in a cluster. */
export interface ClusterSettings extends RunningNodeOptions {
  /** Port of the ring's door. Default 0: any that is free. */
  readonly ringPort?: number;
  /** Milliseconds that a collective may go without progress. Default 2000. */
  readonly progressMs?: number;
  /** Milliseconds that the neighbours have to be there when an epoch begins. Default 4000. */
  readonly connectMs?: number;
}

/** Milliseconds that those who only ask have to find out that a run is over. */
const FAREWELL = 1_500;

/** Milliseconds between two looks at whether all have left. */
const LOOK = 20;

/**
 * See the file's head. Its owner takes {@link orders} one after the other: it moves steps through {@link collectives} and tells how
 * they {@link ended}, and fetches states; with {@link ready} it says that it can begin the next step.
 */
export class Cluster implements AsyncDisposable {
  readonly nodeId: NodeId;
  readonly orders: Orders;
  /** What other nodes can fetch here. */
  readonly blobs: BlobStore;
  /** Asks other nodes. */
  readonly client: NodeClient;
  readonly #settings: ClusterSettings;
  readonly #node: RunningNode;
  readonly #ring: RingPlane;
  #collectives: Collectives | undefined;
  readonly #traffic: Traffic = { bytes: 0, ms: 0 };
  readonly #openedAt = performance.now();

  private constructor(
    settings: ClusterSettings,
    parts: {
      readonly orders: Orders;
      readonly blobs: BlobStore;
      readonly node: RunningNode;
      readonly ring: RingPlane;
    },
  ) {
    this.nodeId = settings.nodeId;
    this.orders = parts.orders;
    this.blobs = parts.blobs;
    this.client = new NodeClient(settings);
    this.#settings = settings;
    this.#node = parts.node;
    this.#ring = parts.ring;
  }

  /** Opens the doors. The node is in no cluster yet. Errors: those of `listen`. */
  static async open(settings: ClusterSettings): Promise<Cluster> {
    const { ringPort = 0, ...rest } = settings;
    const orders = new Orders();
    const blobs = new BlobStore();
    let cluster: Cluster | undefined;
    const status: Route = {
      ...{ method: "GET", path: "/status", roles: ["trainer", "rollout"] },
      answer: async () => (cluster ? { status: 200, body: cluster.status } : { status: 503 }),
    };
    const routes = [status, blobRoute(blobs), ...(settings.routes ?? [])];
    const ring = await RingPlane.open({ ...rest, port: ringPort });
    try {
      const { advertiseRing = elsewhere(ring.listener.url, settings.advertise) } = settings;
      const node = await RunningNode.open({ ...rest, advertiseRing, routes }, orders);
      cluster = new Cluster(settings, { orders, blobs, node, ring });
      return cluster;
    } catch (error) {
      await ring[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the node is reached. */
  get address(): string {
    return this.#settings.advertise ?? this.#node.listener.url;
  }

  /** What the cluster has agreed on last, as far as the node knows. */
  get record(): ClusterRecord {
    return this.#node.record;
  }

  /** What the node says to whoever asks. */
  get status(): ClusterStatus {
    const { epoch, step, hash, members } = this.record;
    const addresses = members.flatMap((member) => {
      const address = this.addressOf(member);
      return address === undefined ? [] : [[member, address] as const];
    });
    return {
      ...{ node: this.nodeId, isLeading: this.isLeading, leader: this.#node.leader ?? null },
      ...{ epoch, step, hash, members: [...members], ownStep: this.#node.step },
      addresses: Object.fromEntries(addresses),
      sentBytes: this.#traffic.bytes,
      collectiveSeconds: this.#traffic.ms / 1000,
      uptime: (performance.now() - this.#openedAt) / 1000,
    };
  }

  /** What has moved in rings so far. */
  get traffic(): Readonly<Traffic> {
    return { ...this.#traffic };
  }

  /** Who leads, as far as the node knows. */
  get leader(): NodeId | undefined {
    return this.#node.leader;
  }

  get isLeading(): boolean {
    return this.orders.isLeading;
  }

  /** Where another node is reached, once it was heard of. */
  addressOf(node: NodeId): string | undefined {
    return node === this.nodeId ? this.address : this.#node.addressesOf(node)?.control;
  }

  /** What the node at an address says of its cluster. Errors: those of `NodeClient.ask`. */
  ask(address: string): Promise<ClusterStatus> {
    return askStatus(this.client, address);
  }

  /** Begins a cluster, with the state that this node has. */
  found(step: number, hash: string): void {
    this.#node.found(step, hash);
  }

  /** Asks to be let in, by any node of the cluster. Errors: those of `dialControl`. */
  join(address: string): Promise<void> {
    return this.#node.join(address);
  }

  /**
   * The node has a state, and can begin the step after it. `work` says what all are to do in it, if this node leads; as long
   * as it is `null` nothing begins.
   */
  ready(step: number, hash: string, work: string | null): void {
    this.#node.ready(step, hash, work);
  }

  /** The ring of an epoch, when the neighbours are there. Errors: those of `RingPlane.begin`. */
  async collectives({ epoch, members }: Move): Promise<Collectives> {
    const isNew = this.#ring.epoch !== epoch || this.#collectives === undefined;
    const addressOf = (node: NodeId): string | undefined => this.#node.addressesOf(node)?.ring;
    await this.#ring.begin({ epoch, members, addressOf });
    if (isNew || this.#collectives === undefined) {
      const parts = {
        plane: this.#ring,
        rank: members.indexOf(this.nodeId),
        world: members.length,
        chunkBytes: limitsOf(this.#settings.limits).chunkBytes,
      };
      this.#collectives = new Collectives(parts, this.#traffic);
    }
    return this.#collectives;
  }

  /** A move has come to a state. */
  moved({ epoch, step }: Move, hash: string): void {
    this.#node.ended({ epoch, step, hash, suspect: null });
  }

  /** A move has come to nothing; what another node may be to blame for is in the error. */
  failed({ epoch, step }: Move, error: unknown): void {
    this.abort();
    const suspect = error instanceof ClusterError ? (error.suspect ?? null) : null;
    this.#node.ended({ epoch, step, hash: null, suspect });
  }

  /** Ends the ring of the epoch: what is under way in it comes to nothing. */
  abort(): void {
    this.#collectives = undefined;
    this.#ring.abort();
  }

  /**
   * The bytes of a blob, from nodes that may have it; one whose size is not known is small. Errors: those of
   * {@link fetchBlob}.
   */
  fetchBlob(
    { hash, size }: { readonly hash: string; readonly size: BlobRef["size"] | undefined },
    nodes: readonly NodeId[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    const sources = nodes.flatMap((node) => {
      const address = node === this.nodeId ? undefined : this.addressOf(node);
      return address === undefined ? [] : [{ node, address }];
    });
    const options = signal ? { signal } : {};
    if (size === undefined) return fetchSmall(this.client, hash, sources, options);
    return fetchBlob(this.client, { hash, size }, sources, options);
  }

  /** Leaves, when the step under way is over; an order says when the others go on without it. */
  leave(): void {
    this.#node.leave();
  }

  /** Leaves, and waits until the others know that they go on without it, or for so many milliseconds. */
  async depart(ms = 5_000): Promise<void> {
    this.leave();
    await this.#until(() => this.#node.isOver, ms);
  }

  /**
   * Leaves at the end of a run, and goes on answering until all others have left too, or are gone: what was committed last is known
   * to all then, and nobody needs anything more of this node. Waits no longer than it is told, in milliseconds.
   */
  async finish(ms = 30_000): Promise<void> {
    this.leave();
    await this.#until(() => this.record.members.length === 0 || !this.#node.isConnected, ms);
    await this.#until(() => this.#node.listener.guests === 0, FAREWELL);
  }

  async #until(holds: () => boolean, ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (!holds() && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, LOOK));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await Promise.all([this.#node[Symbol.asyncDispose](), this.#ring[Symbol.asyncDispose]()]);
  }
}

/** An address on the host of another one. */
function elsewhere(address: string, host: string | undefined): string {
  if (host === undefined) return address;
  const own = new URL(address);
  own.hostname = addressOf(host).hostname;
  return own.href.replace(/\/$/, "");
}
