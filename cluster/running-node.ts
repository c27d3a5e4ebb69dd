/** A node of a cluster in a process: its sockets, its clock, and what it is told by them. */
import { ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import { ClusterNode } from "./membership/cluster-node.ts";
import type { ClusterHost } from "./membership/host.ts";
import type { AttemptStatus, NodeAddresses } from "./membership/message.ts";
import { type ClusterOptions, DEFAULT_OPTIONS } from "./membership/options.ts";
import type { ClusterRecord, NodeId } from "./membership/record.ts";
import { type Clock, systemClock } from "./transport/clock.ts";
import type { Listener } from "./transport/listener.ts";

/** How a node is run. */
export interface RunningNodeOptions extends ControlPlaneOptions {
  readonly membership?: Partial<ClusterOptions>;
  /** Where others reach it, if that is not where it listens. */
  readonly advertise?: string;
  /** Where its neighbours reach its rings, if that is not the same. */
  readonly advertiseRings?: readonly string[];
  /** Told of nodes whose connection is gone, whatever becomes of them. */
  readonly onLost?: (node: NodeId) => void;
}

/** Ticks of a beat. */
const TICKS = 5;

/** See the file's head. */
export class RunningNode implements AsyncDisposable {
  readonly #plane: ControlPlane;
  readonly #node: ClusterNode;
  readonly #clock: Clock;
  readonly #options: ClusterOptions;
  #cancelTick = (): void => {};

  private constructor(
    plane: ControlPlane,
    node: ClusterNode,
    { clock, options }: { readonly clock: Clock; readonly options: ClusterOptions },
  ) {
    this.#plane = plane;
    this.#node = node;
    this.#clock = clock;
    this.#options = options;
    this.#tick();
  }

  /** Listens. The node is in no cluster yet. Errors: those of `listen`. */
  static async open(options: RunningNodeOptions, host: ClusterHost): Promise<RunningNode> {
    const { nodeId, clock = systemClock, membership } = options;
    const settings = { ...DEFAULT_OPTIONS, ...membership };
    let node: ClusterNode | undefined;
    const plane = await ControlPlane.open(options, {
      message: (from, message) => node?.receive(from, message, clock.now()),
      lost: (peer) => {
        node?.lost(peer, clock.now());
        options.onLost?.(peer);
      },
    });
    const { advertise: control = plane.listener.url, advertiseRings: rings = [control] } = options;
    node = new ClusterNode({
      ...{ node: nodeId, addresses: { control, rings }, host, options: settings },
      now: clock.now(),
      send: (to, message) => plane.send(to, node?.addressesOf(to)?.control, message),
    });
    return new RunningNode(plane, node, { clock, options: settings });
  }

  /** The door of both planes. */
  get listener(): Listener {
    return this.#plane.listener;
  }

  /** The latest record that the node knows. */
  get record(): ClusterRecord {
    return this.#node.record;
  }

  /** Who leads, as far as the node knows. */
  get leader(): NodeId | undefined {
    return this.#node.leader;
  }

  /** Of the state that the host has; −1 for none. */
  get step(): number {
    return this.#node.step;
  }

  /** Whether some other node is connected with this one. */
  get isConnected(): boolean {
    return this.#plane.isConnected;
  }

  get isLeading(): boolean {
    return this.#node.isLeading;
  }

  /** As {@link ClusterNode.isOver}. */
  get isOver(): boolean {
    return this.#node.isOver;
  }

  /** Where a node can be reached. */
  addressesOf(node: NodeId): NodeAddresses | undefined {
    return this.#node.addressesOf(node);
  }

  /** Begins a cluster, with the state that the host has. */
  found(step: number, hash: string): void {
    this.#node.found(step, hash);
  }

  /** Asks to be let in, by any node of the cluster. Errors: those of `dialControl`. */
  async join(address: string): Promise<void> {
    this.#node.join([await this.#plane.greet(address)]);
  }

  /** As {@link ClusterNode.ready}. */
  ready(step: number, hash: string, work: string | null = null): void {
    this.#node.ready(step, hash, work);
  }

  /** The host has come to an end with a step. */
  ended(end: AttemptStatus): void {
    this.#node.ended(end);
  }

  /** Leaves, when the step under way is over; the host is told when the others go on without it. */
  leave(): void {
    this.#node.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelTick();
    await this.#plane[Symbol.asyncDispose]();
  }

  #tick(): void {
    this.#node.tick(this.#clock.now());
    this.#cancelTick = this.#clock.after(this.#options.beat / TICKS, () => this.#tick());
  }
}
