/** A node of a cluster, whole: its doors, its orders, and the ring of the epoch that it is in. */
import { type BlobRef, BlobStore, blobRoute } from "./blobs/blob-store.ts";
import { fetchBlob } from "./blobs/fetch-blob.ts";
import { fetchSmall } from "./blobs/fetch-small.ts";
import { askStatus, type ClusterStatus } from "./cluster-status.ts";
import { Collectives, type Traffic } from "./collectives.ts";
import { type OpenNodeOptions, openNode } from "./control-plane/open-node.ts";
import type { Running } from "./control-plane/running.ts";
import { ClusterError } from "./error.ts";
import type { Move } from "./membership/host.ts";
import { MOST_RINGS } from "./membership/message.ts";
import type { ClusterRecord, NodeId } from "./membership/record.ts";
import { Orders } from "./orders.ts";
import { openRings } from "./ring-plane/open-rings.ts";
import type { Rings } from "./ring-plane/rings.ts";
import { limitsOf } from "./transport/limits.ts";
import { elsewhere } from "./transport/node-address.ts";
import { NodeClient } from "./transport/node-client.ts";
import type { Route } from "./transport/route.ts";

/** How a node is in a cluster. */
export interface ClusterSettings extends Omit<OpenNodeOptions, "onLost" | "onGone"> {
  /**
   * Threads that the data plane has of its own, up to 16, each with a ring; all nodes have as many rings. Default 0: one ring, on
   * the main thread.
   */
  readonly ringThreads?: number;
  /** Port of the first ring's door; those of others follow it. Default 0: any that are free. */
  readonly ringPort?: number;
  /** Milliseconds that a collective may go without progress, as long as nobody says that it is not ready. Default 2000. */
  readonly progressMs?: number;
  /** Milliseconds that a member may go on saying so while nothing moves. Default 600 000. */
  readonly readyMs?: number;
  /** Milliseconds that the neighbours have to be there when an epoch begins. Default 4000. */
  readonly connectMs?: number;
}

/** Milliseconds that those who only ask have to find out that a run is over. */
const FAREWELL = 1_500;

/** Milliseconds that a node has to see that it has another number of rings than the leader, and to go. */
const FIND_OUT = 1_000;

/** Milliseconds between two looks at whether all have left. */
const LOOK = 20;

/**
 * See the file's head. Its owner takes {@link orders} one after the other: it moves steps through {@link collectives} and tells how
 * they {@link ended}, and fetches states; with {@link ready} it says that it can begin the next step.
 */
export class Cluster implements AsyncDisposable {
  readonly nodeId: NodeId;
  /** Of the run that its nodes train; 16 bytes in hex. */
  readonly runId: string;
  readonly orders: Orders;
  /** What other nodes can fetch here. */
  readonly blobs: BlobStore;
  /** Asks other nodes. */
  readonly client: NodeClient;
  readonly #settings: ClusterSettings;
  readonly #node: Running;
  readonly #rings: Rings;
  #current: { readonly epoch: number; readonly collectives: Collectives } | undefined;
  readonly #traffic: Traffic = { bytes: 0, ms: 0 };
  readonly #openedAt = performance.now();
  readonly #whenLost = new Set<(node: NodeId) => void>();

  private constructor(
    settings: ClusterSettings,
    parts: {
      readonly orders: Orders;
      readonly blobs: BlobStore;
      readonly node: Running;
      readonly rings: Rings;
    },
  ) {
    this.nodeId = settings.nodeId;
    this.runId = settings.runId;
    this.orders = parts.orders;
    this.blobs = parts.blobs;
    this.client = new NodeClient(settings);
    this.#settings = settings;
    this.#node = parts.node;
    this.#rings = parts.rings;
  }

  /** Opens the doors. The node is in no cluster yet. Errors: those of `listen`; `argument_invalid` for so many threads. */
  static async open(settings: ClusterSettings): Promise<Cluster> {
    const { ringPort = 0, ringThreads = 0, ...rest } = settings;
    checkThreads(ringThreads);
    const orders = new Orders();
    const blobs = new BlobStore();
    let cluster: Cluster | undefined;
    const status: Route = {
      ...{ method: "GET", path: "/status", roles: ["trainer", "rollout"] },
      answer: async () => (cluster ? { status: 200, body: cluster.status } : { status: 503 }),
    };
    const routes = [status, blobRoute(blobs), ...(settings.routes ?? [])];
    const rings = await openRings({ ...rest, port: ringPort, threads: ringThreads });
    try {
      const own = rings.urls.map((url) => elsewhere(url, settings.advertise));
      const { advertiseRings = own } = settings;
      const onLost = (lost: NodeId): void => {
        if (cluster) for (const tell of cluster.#whenLost) tell(lost);
      };
      const onGone = (error: ClusterError): void => orders.fail(error);
      const options = { ...rest, advertiseRings, routes, onLost, onGone };
      const node = await openNode(options, orders);
      cluster = new Cluster(settings, { orders, blobs, node, rings });
      return cluster;
    } catch (error) {
      await rings[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the node is reached. */
  get address(): string {
    return this.#settings.advertise ?? this.#node.url;
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

  /** Tells of nodes whose connection is gone, until the function that is returned is called. They may come back. */
  whenLost(tell: (node: NodeId) => void): () => void {
    this.#whenLost.add(tell);
    return () => void this.#whenLost.delete(tell);
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
    return node === this.nodeId ? this.address : this.#node.addresses.get(node)?.control;
  }

  /** What the node at an address says of its cluster. Errors: those of `NodeClient.ask`. */
  ask(address: string): Promise<ClusterStatus> {
    return askStatus(this.client, address);
  }

  /** Begins a cluster, with the state that this node has; it leads when this is fulfilled. */
  found(step: number, hash: string): Promise<void> {
    return this.#node.found(step, hash);
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

  /**
   * The ring of an epoch, when the neighbours are there.
   *
   * Errors    those of `Rings.begin`; `argument_invalid`, which is final, where the leader has another number of rings than this
   *           node; with the suspect, where a neighbour has
   */
  async collectives(move: Move): Promise<Collectives> {
    const { epoch, members } = move;
    await this.#checkRings(move);
    const addressesOf = (node: NodeId): readonly string[] | undefined => this.#ringsOf(node);
    await this.#rings.begin({ epoch, members, addressesOf });
    if (this.#current?.epoch !== epoch) {
      const parts = {
        rings: this.#rings,
        rank: members.indexOf(this.nodeId),
        world: members.length,
        chunkBytes: limitsOf(this.#settings.limits).chunkBytes,
      };
      this.#current = { epoch, collectives: new Collectives(parts, this.#traffic) };
    }
    return this.#current.collectives;
  }

  #ringsOf(node: NodeId): readonly string[] | undefined {
    return node === this.nodeId ? this.#rings.urls : this.#node.addresses.get(node)?.rings;
  }

  /**
   * All have as many rings as the leader, or go: what is cut for so many cannot go round fewer. A neighbour that has not is given
   * the time to find that out itself.
   */
  async #checkRings({ members, leader }: Move): Promise<void> {
    const own = this.#rings.urls.length;
    const [others, rank] = [members.length - 1, members.indexOf(this.nodeId)];
    const neighbours = [members[rank - 1] ?? members[others], members[rank + 1] ?? members[0]];
    for (const node of [leader, ...neighbours]) {
      const theirs = node === undefined ? undefined : this.#ringsOf(node)?.length;
      if (theirs === undefined || theirs === own) continue;
      if (node !== leader) await new Promise((resolve) => setTimeout(resolve, FIND_OUT));
      throw unlike({ node: node as NodeId, theirs, own }, node === leader);
    }
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
    this.#current = undefined;
    this.#rings.abort();
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
    await this.#until(() => this.#node.guests === 0, FAREWELL);
  }

  async #until(holds: () => boolean, ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (!holds() && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, LOOK));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await Promise.all([this.#node[Symbol.asyncDispose](), this.#rings[Symbol.asyncDispose]()]);
  }
}

function checkThreads(threads: number): void {
  if (Number.isInteger(threads) && threads >= 0 && threads <= MOST_RINGS) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: "cluster: a node cannot have so many ring threads.",
    got: String(threads),
    fix: `give an integer from 0 to ${MOST_RINGS}`,
  });
}

/** Another number of rings than a node that counts. */
function unlike(
  { node, theirs, own }: { readonly node: NodeId; readonly theirs: number; readonly own: number },
  isLeader: boolean,
): ClusterError {
  return new ClusterError({
    code: "argument_invalid",
    what: "cluster: nodes have different numbers of ring threads.",
    got: `${own} here, ${theirs} at ${node}`,
    why: "each ring goes round all nodes",
    fix: isLeader ? `start this node with --ring-threads ${theirs}` : `start ${node} with ${own}`,
    ...(isLeader ? { isFinal: true } : { suspect: node }),
  });
}
