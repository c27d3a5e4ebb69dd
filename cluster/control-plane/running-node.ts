/** A node of a cluster on this thread: its sockets, its clock, and what it is told by them. */
import { ClusterNode } from "../membership/cluster-node.ts";
import type { ClusterHost } from "../membership/host.ts";
import type { AttemptStatus } from "../membership/message.ts";
import { type ClusterOptions, DEFAULT_OPTIONS } from "../membership/options.ts";
import type { ClusterRecord, NodeId } from "../membership/record.ts";
import { type Clock, systemClock } from "../transport/clock.ts";
import { ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import type { Addresses, Running } from "./running.ts";

/** How a node is run. */
export interface RunningNodeOptions extends ControlPlaneOptions {
  readonly membership?: Partial<ClusterOptions>;
  /** Where others reach it, if that is not where it listens. */
  readonly advertise?: string;
  /** Where its neighbours reach its rings, if that is not the same. */
  readonly advertiseRings?: readonly string[];
  /** Told of nodes whose connection is gone, whatever becomes of them. */
  readonly onLost?: (node: NodeId) => void;
  /** Whether the host can be asked. While it cannot, the node is as silent as one that is stopped. Default: it always can. */
  readonly isHostThere?: () => boolean;
}

/** Ticks of a beat. */
const TICKS = 5;

/** See the file's head. */
export class RunningNode implements Running {
  readonly #plane: ControlPlane;
  readonly #node: ClusterNode;
  readonly #clock: Clock;
  readonly #beat: number;
  readonly #isHostThere: () => boolean;
  #cancelTick = (): void => {};

  private constructor(
    plane: ControlPlane,
    node: ClusterNode,
    {
      clock,
      beat,
      isHostThere,
    }: Pick<ClusterOptions, "beat"> & Required<Pick<RunningNodeOptions, "clock" | "isHostThere">>,
  ) {
    this.#plane = plane;
    this.#node = node;
    this.#clock = clock;
    this.#beat = beat;
    this.#isHostThere = isHostThere;
    this.#tick();
  }

  /** Listens. The node is in no cluster yet. Errors: those of `listen`. */
  static async open(options: RunningNodeOptions, host: ClusterHost): Promise<RunningNode> {
    const { nodeId, clock = systemClock, membership, isHostThere = () => true } = options;
    const settings = { ...DEFAULT_OPTIONS, ...membership };
    let node: ClusterNode | undefined;
    const plane = await ControlPlane.open(options, {
      message: (from, message) => {
        if (isHostThere()) node?.receive(from, message, clock.now());
      },
      lost: (peer) => {
        node?.lost(peer, clock.now());
        options.onLost?.(peer);
      },
    });
    const { advertise: control = plane.listener.url, advertiseRings: rings = [control] } = options;
    node = new ClusterNode({
      ...{ node: nodeId, addresses: { control, rings }, host, options: settings },
      now: clock.now(),
      send: (to, message) => plane.send(to, node?.addresses.get(to)?.control, message),
    });
    return new RunningNode(plane, node, { clock, isHostThere, beat: settings.beat });
  }

  get url(): string {
    return this.#plane.listener.url;
  }

  get guests(): number {
    return this.#plane.listener.guests;
  }

  get record(): ClusterRecord {
    return this.#node.record;
  }

  get leader(): NodeId | undefined {
    return this.#node.leader;
  }

  get step(): number {
    return this.#node.step;
  }

  get isConnected(): boolean {
    return this.#plane.isConnected;
  }

  get isLeading(): boolean {
    return this.#node.isLeading;
  }

  get isOver(): boolean {
    return this.#node.isOver;
  }

  get addresses(): Addresses {
    return this.#node.addresses;
  }

  async found(step: number, hash: string): Promise<void> {
    this.#node.found(step, hash);
  }

  async join(address: string): Promise<void> {
    this.#node.join([await this.#plane.greet(address)]);
  }

  ready(step: number, hash: string, work: string | null = null): void {
    this.#node.ready(step, hash, work);
  }

  ended(end: AttemptStatus): void {
    this.#node.ended(end);
  }

  leave(): void {
    this.#node.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancelTick();
    await this.#plane[Symbol.asyncDispose]();
  }

  #tick(): void {
    if (this.#isHostThere()) this.#node.tick(this.#clock.now());
    else this.#plane.hangUp();
    this.#cancelTick = this.#clock.after(this.#beat / TICKS, () => this.#tick());
  }
}
