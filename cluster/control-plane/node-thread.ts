/** The thread of `node-in-thread.ts`: a node whose host is on the main thread. */
import { isDeepStrictEqual } from "node:util";
import { parentPort, workerData } from "node:worker_threads";
import type { ClusterHost } from "../membership/host.ts";
import { type Servant, serve } from "../thread/serve.ts";
import type { Route, RouteAnswer, RouteRequest } from "../transport/route.ts";
import { Token } from "../transport/token.ts";
import type { NodeNews, NodeOrder, NodeThreadData } from "./node-message.ts";
import type { Addresses, NodeView } from "./running.ts";
import { RunningNode } from "./running-node.ts";

/** Milliseconds between two looks at whether there is something that the host does not know. */
const LOOK = 50;

function say(news: NodeNews, transfer: readonly ArrayBuffer[] = []): void {
  parentPort?.postMessage(news, transfer);
}

/** What the node knows, for the host, who is told no more than it does not know. */
class Reporter {
  #told: NodeView | undefined;
  #toldAddresses: Addresses = new Map();
  #node: RunningNode | undefined;

  watch(node: RunningNode): void {
    this.#node = node;
    setInterval(() => this.report(), LOOK);
  }

  report(): void {
    const node = this.#node;
    if (!node) return;
    const { record, leader, step, isConnected, isOver, guests } = node;
    const view: NodeView = { record, leader, step, isConnected, isOver, guests };
    if (!isDeepStrictEqual(view, this.#told)) {
      this.#told = view;
      say({ say: "view", view });
    }
    if (isDeepStrictEqual(node.addresses, this.#toldAddresses)) return;
    const addresses = new Map(node.addresses);
    this.#toldAddresses = addresses;
    say({ say: "addresses", addresses });
  }
}

/** Requests that the host has yet to answer. */
class Requests {
  readonly #pending = new Map<number, (answer: RouteAnswer) => void>();
  #count = 0;

  /** A route that asks the host for its answer. */
  routeOf(route: Omit<Route, "answer">, place: number): Route {
    return { ...route, answer: (request) => this.#ask(place, request) };
  }

  answered(id: number, answer: RouteAnswer): void {
    this.#pending.get(id)?.(answer);
    this.#pending.delete(id);
  }

  async #ask(route: number, { signal, body, ...request }: RouteRequest): Promise<RouteAnswer> {
    // sent nowhere
    if (signal.aborted) return { status: 500 };
    const id = ++this.#count;
    // its own: a view would take along all of the buffer that it is of
    const own = new Uint8Array(body);
    say({ say: "asked", id, route, request: { ...request, body: own } }, [own.buffer]);
    signal.addEventListener("abort", () => {
      this.answered(id, { status: 500 });
      say({ say: "gone", id });
    });
    return new Promise((resolve) => {
      this.#pending.set(id, resolve);
    });
  }
}

class NodeServant implements Servant<NodeOrder> {
  readonly #requests = new Requests();
  readonly #reporter = new Reporter();
  #node: RunningNode | undefined;
  #heardAt = performance.now();

  static async open({ options, token, routes, hostMs }: NodeThreadData): Promise<NodeServant> {
    const servant = new NodeServant();
    const requests = servant.#requests;
    servant.#node = await RunningNode.open(
      {
        ...options,
        token: Token.parse(token),
        routes: routes.map((route, place) => requests.routeOf(route, place)),
        onLost: (node) => say({ say: "lost", node }),
        isHostThere: () => performance.now() - servant.#heardAt <= hostMs,
      },
      servant.#host,
    );
    servant.#reporter.watch(servant.#node);
    return servant;
  }

  get url(): string {
    return this.#opened.url;
  }

  async obey(order: NodeOrder): Promise<void> {
    this.#heardAt = performance.now();
    const node = this.#opened;
    switch (order.do) {
      case "found":
        return node.found(order.step, order.hash);
      case "join":
        return node.join(order.address);
      case "ready":
        return node.ready(order.step, order.hash, order.work);
      case "ended":
        return node.ended(order.end);
      case "leave":
        return node.leave();
      case "answer":
        return this.#requests.answered(order.id, order.answer);
      case "close":
        return node[Symbol.asyncDispose]();
      case "nothing":
        return;
    }
  }

  get #opened(): RunningNode {
    return this.#node as RunningNode;
  }

  /** What the host is told of is known to it before. */
  readonly #host: ClusterHost = {
    lead: (...args) => this.#tell({ say: "host", name: "lead", args }),
    move: (...args) => this.#tell({ say: "host", name: "move", args }),
    abort: (...args) => this.#tell({ say: "host", name: "abort", args }),
    commit: (...args) => this.#tell({ say: "host", name: "commit", args }),
    fetch: (...args) => this.#tell({ say: "host", name: "fetch", args }),
    end: (...args) => this.#tell({ say: "host", name: "end", args }),
  };

  #tell(news: NodeNews): void {
    this.#reporter.report();
    say(news);
  }
}

await serve<NodeOrder>(() => NodeServant.open(workerData as NodeThreadData));
