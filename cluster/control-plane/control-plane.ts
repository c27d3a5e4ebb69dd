/** Messages between the nodes of a cluster, by whichever connection there is. */

import type { MembershipMessage } from "../membership/message.ts";
import { membershipSchema } from "../membership/message-schema.ts";
import type { NodeId } from "../membership/record.ts";
import { type ControlCodec, controlCodec } from "../protocol/control-message.ts";
import { CLOSE } from "../transport/close-code.ts";
import type { ControlConnection, ControlOpener } from "../transport/control-connection.ts";
import { dialControl } from "../transport/dial.ts";
import { limitsOf } from "../transport/limits.ts";
import { type DoorOptions, type Listener, listen } from "../transport/listener.ts";
import type { Route } from "../transport/route.ts";
import type { OnFault } from "../transport/route-answer.ts";

/** What a node's connections are made with. */
export interface ControlPlaneOptions extends DoorOptions {
  /** Answers plain requests there. It is all that rollout nodes may say: the control plane is closed to them, with 1008. */
  readonly routes?: readonly Route[];
  /** Told what a route has thrown. Default: a warning of the process. */
  readonly onFault?: OnFault;
}

/** What is done with what comes. */
export interface ControlPlaneHandlers {
  message(from: NodeId, message: MembershipMessage): void;
  /** The last connection with a node has ended, or there could be none. */
  lost(node: NodeId): void;
}

/** Messages that wait for a connection: of a kind the last one is enough, since each says all there is. */
type Waiting = Map<MembershipMessage["type"], MembershipMessage>;

/** See the file's head. What cannot be sent is dropped: whoever sends says it again. */
export class ControlPlane implements AsyncDisposable {
  readonly #options: ControlPlaneOptions;
  readonly #handlers: ControlPlaneHandlers;
  readonly #codec: ControlCodec<MembershipMessage>;
  readonly #connections = new Map<NodeId, Set<ControlConnection<MembershipMessage>>>();
  readonly #waiting = new Map<NodeId, Waiting>();
  readonly #closing = new AbortController();
  #listener: Listener | undefined;

  private constructor(options: ControlPlaneOptions, handlers: ControlPlaneHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#codec = controlCodec(membershipSchema, limitsOf(options.limits).controlBytes);
  }

  /** Listens. Errors: those of `listen`. */
  static async open(
    options: ControlPlaneOptions,
    handlers: ControlPlaneHandlers,
  ): Promise<ControlPlane> {
    const plane = new ControlPlane(options, handlers);
    const control = { codec: plane.#codec, open: plane.#open };
    plane.#listener = await listen({ ...options, control });
    return plane;
  }

  /** The door. */
  get listener(): Listener {
    return this.#listener as Listener;
  }

  /** Whether there is some connection. */
  get isConnected(): boolean {
    return this.#connections.size > 0;
  }

  /** Connects with whoever is at an address. Errors: those of `dialControl`. */
  async greet(address: string): Promise<NodeId> {
    return (await this.#dial(address)).peer.nodeId;
  }

  /** Sends to a node, on a connection that there is, or is made where its address is known. */
  send(to: NodeId, address: string | undefined, message: MembershipMessage): void {
    if (this.#closing.signal.aborted) return;
    const [open] = [...(this.#connections.get(to) ?? [])].filter((each) => each.isOpen);
    if (open) open.send(message);
    else if (address !== undefined) this.#sendLater(to, address, message);
  }

  /** Ends all connections there are. */
  hangUp(): void {
    for (const all of this.#connections.values())
      for (const connection of all) connection.kill(CLOSE.goingAway, "the node hangs");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#listener?.close();
    const all = [...this.#connections.values()].flatMap((some) => [...some]);
    await Promise.all(all.map((each) => each.close()));
  }

  #sendLater(to: NodeId, address: string, message: MembershipMessage): void {
    const known = this.#waiting.get(to);
    const waiting: Waiting = known ?? new Map();
    waiting.set(message.type, message);
    if (known) return;
    this.#waiting.set(to, waiting);
    this.#dial(address, to).then(
      (connection) => {
        this.#waiting.delete(to);
        for (const each of waiting.values()) connection.send(each);
      },
      () => {
        this.#waiting.delete(to);
        if (!this.#closing.signal.aborted) this.#handlers.lost(to);
      },
    );
  }

  #dial(address: string, peer?: NodeId): Promise<ControlConnection<MembershipMessage>> {
    const { runId, nodeId, token, tls, limits, clock } = this.#options;
    return dialControl(address, {
      ...{ runId, nodeId, token, codec: this.#codec, open: this.#open },
      signal: this.#closing.signal,
      ...(peer !== undefined && { peer }),
      ...(tls && { tls }),
      ...(limits && { limits }),
      ...(clock && { clock }),
    });
  }

  readonly #open: ControlOpener<MembershipMessage> = (connection) => {
    const { nodeId, role } = connection.peer;
    if (role !== "trainer") {
      void connection.close(CLOSE.policy, "trainers only");
      return { message: () => {} };
    }
    const all = this.#connections.get(nodeId) ?? new Set();
    this.#connections.set(nodeId, all.add(connection));
    return {
      message: (message) => this.#handlers.message(nodeId, message),
      end: () => {
        all.delete(connection);
        if (all.size > 0) return;
        this.#connections.delete(nodeId);
        if (!this.#closing.signal.aborted) this.#handlers.lost(nodeId);
      },
    };
  };
}
