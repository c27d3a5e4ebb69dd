/** A node whose control plane has a thread of its own: whatever keeps the main thread busy, the node lives, answers and votes. */
import { join } from "node:path";
import type { ClusterError } from "../error.ts";
import type { ClusterHost } from "../membership/host.ts";
import type { AttemptStatus } from "../membership/message.ts";
import { type ClusterRecord, NO_RECORD, type NodeId } from "../membership/record.ts";
import { pick } from "../thread/pick.ts";
import { Thread } from "../thread/thread.ts";
import type { Route, RouteRequest } from "../transport/route.ts";
import { answerOf, type OnFault, warnOfFault } from "../transport/route-answer.ts";
import { type NodeNews, type NodeOrder, type NodeThreadData, POSTED } from "./node-message.ts";
import type { Addresses, NodeView, Running } from "./running.ts";
import type { RunningNodeOptions } from "./running-node.ts";

/** What such a node is made with. */
export interface NodeInThreadOptions extends Omit<RunningNodeOptions, "clock" | "isHostThere"> {
  /** Milliseconds that the main thread may be busy before the node counts as hung, and the others go on without it. */
  readonly hostMs: number;
  /** The thread is gone, and the node with it. */
  readonly onGone: (error: ClusterError) => void;
}

/** Milliseconds between two signs of life, to the node's own thread. */
const BEAT = 500;

/** See the file's head. Its host is called on the main thread, in the order in which the node has called it. */
export class NodeInThread implements Running {
  readonly #options: NodeInThreadOptions;
  readonly #host: ClusterHost;
  readonly #thread: Thread<NodeOrder, NodeNews>;
  readonly #desk: Desk;
  readonly #beat: NodeJS.Timeout;
  #url = "";
  #view: NodeView = NOTHING;
  #addresses: Addresses = new Map();

  private constructor(options: NodeInThreadOptions, host: ClusterHost) {
    this.#options = options;
    this.#host = host;
    this.#thread = new Thread({
      ...{ entry: join(import.meta.dirname, "node-thread"), data: dataOf(options) },
      onTold: (news) => this.#heed(news),
      onGone: (error) => {
        this.#cutOff();
        options.onGone(error);
      },
    });
    const { routes = [], onFault = warnOfFault } = options;
    this.#desk = new Desk(routes, onFault, this.#thread);
    this.#beat = setInterval(() => this.#thread.tell({ do: "nothing" }), BEAT).unref();
  }

  /** Starts the thread, which listens. The node is in no cluster yet. Errors: those of `listen`. */
  static async open(options: NodeInThreadOptions, host: ClusterHost): Promise<NodeInThread> {
    const node = new NodeInThread(options, host);
    try {
      node.#url = await node.#thread.url;
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return this.#url;
  }

  get record(): ClusterRecord {
    return this.#view.record;
  }

  get leader(): NodeId | undefined {
    return this.#view.leader;
  }

  get step(): number {
    return this.#view.step;
  }

  get isConnected(): boolean {
    return this.#view.isConnected;
  }

  get isOver(): boolean {
    return this.#view.isOver;
  }

  get guests(): number {
    return this.#view.guests;
  }

  get addresses(): Addresses {
    return this.#addresses;
  }

  found(step: number, hash: string): Promise<void> {
    return this.#thread.call({ do: "found", step, hash });
  }

  join(address: string): Promise<void> {
    return this.#thread.call({ do: "join", address });
  }

  ready(step: number, hash: string, work: string | null): void {
    this.#thread.tell({ do: "ready", step, hash, work });
  }

  ended(end: AttemptStatus): void {
    this.#thread.tell({ do: "ended", end });
  }

  leave(): void {
    this.#thread.tell({ do: "leave" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat);
    // one that is gone is closed
    await this.#thread.call({ do: "close" }).catch(() => {});
    await this.#thread.terminate();
    this.#cutOff();
  }

  #heed(news: NodeNews): void {
    switch (news.say) {
      case "view":
        this.#view = news.view;
        break;
      case "addresses":
        this.#addresses = news.addresses;
        break;
      case "host":
        (this.#host[news.name] as (...args: unknown[]) => void).apply(this.#host, news.args);
        break;
      case "lost":
        this.#options.onLost?.(news.node);
        break;
      case "asked":
        void this.#desk.answer(news.id, news.route, news.request);
        break;
      case "gone":
        this.#desk.giveUp(news.id);
    }
  }

  #cutOff(): void {
    this.#view = { ...this.#view, isConnected: false, guests: 0 };
  }
}

/** What is known before anything is. */
const NOTHING: NodeView = {
  ...{ record: NO_RECORD, leader: undefined, step: -1 },
  ...{ isConnected: false, isOver: false, guests: 0 },
};

/** Answers on the main thread what was asked at the door. */
class Desk {
  readonly #routes: readonly Route[];
  readonly #onFault: OnFault;
  readonly #thread: Pick<Thread<NodeOrder>, "tell">;
  readonly #pending = new Map<number, AbortController>();

  constructor(routes: readonly Route[], onFault: OnFault, thread: Pick<Thread<NodeOrder>, "tell">) {
    this.#routes = routes;
    this.#onFault = onFault;
    this.#thread = thread;
  }

  async answer(id: number, place: number, request: Omit<RouteRequest, "signal">): Promise<void> {
    const gone = new AbortController();
    this.#pending.set(id, gone);
    const { signal } = gone;
    const route = this.#routes[place] as Route;
    const { body, ...rest } = await answerOf(route, { ...request, signal }, this.#onFault);
    this.#pending.delete(id);
    if (signal.aborted) return;
    const own = new Uint8Array(body);
    this.#thread.tell({ do: "answer", id, answer: { ...rest, body: own } }, [own.buffer]);
  }

  /** Whoever has asked is gone. */
  giveUp(id: number): void {
    this.#pending.get(id)?.abort();
  }
}

function dataOf(options: NodeInThreadOptions): NodeThreadData {
  const { hostMs, token, routes = [] } = options;
  return {
    ...{ hostMs, token: token.reveal(), options: pick(options, POSTED) },
    routes: routes.map(({ answer, ...route }) => route),
  };
}
