/** The door of a node: one HTTP(S) server for both planes, which knows everyone before there is a connection. */
import type { IncomingHttpHeaders, IncomingMessage, Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import { ClusterError } from "../error.ts";
import type { ControlCodec } from "../protocol/control-message.ts";
import { type Clock, systemClock } from "./clock.ts";
import { CLOSE } from "./close-code.ts";
import type { Connection, ConnectionParts, Link } from "./connection.ts";
import { ControlConnection, type ControlOpener } from "./control-connection.ts";
import { Doorkeeper, refuse } from "./doorkeeper.ts";
import { FramedLink } from "./framed-link.ts";
import {
  type Admission,
  admit,
  type Door,
  PROTOCOLS,
  proofHeaders,
  type Refusal,
} from "./handshake.ts";
import { httpServer, interfaceOf, isWildcard } from "./http-server.ts";
import { checkNodeId, checkRunId } from "./identity.ts";
import { Intake } from "./intake.ts";
import { frameLimits, limitsOf, type TransportLimits } from "./limits.ts";
import { Reception } from "./reception.ts";
import { RingSender } from "./ring-connection.ts";
import type { Route } from "./route.ts";
import { type OnFault, warnOfFault } from "./route-answer.ts";
import { TicketBook } from "./ticket.ts";
import { namesOf, type TlsFiles } from "./tls.ts";
import type { Token } from "./token.ts";
import { WebSocketLink } from "./web-socket-link.ts";

/** What a node's doors have in common. */
export interface DoorOptions {
  /** Address of one interface. Default 127.0.0.1. */
  readonly host?: string;
  /** Listens on all interfaces, if the host says so too. */
  readonly exposeAll?: boolean;
  /** Default 0: any that is free. */
  readonly port?: number;
  readonly runId: string;
  readonly nodeId: string;
  /** The run's: a rollout node's cannot tell who may come in. */
  readonly token: Token;
  /** With a `ca`, every peer must have a certificate that names its node id. */
  readonly tls?: TlsFiles;
  readonly limits?: Partial<TransportLimits>;
  /** Default: this machine's. */
  readonly clock?: Clock;
}

/** What a node listens as. */
export interface ListenOptions<M> extends DoorOptions {
  /** Which of the parallel rings is served here. Default 0. */
  readonly lane?: number;
  /** Serves /control. */
  readonly control?: { readonly codec: ControlCodec<M>; readonly open: ControlOpener<M> };
  /** Serves /ring, from the first {@link Listener.openEpoch} on. */
  readonly ring?: { readonly open: (sender: RingSender) => void };
  /** What plain HTTP requests are answered. Default: none are. */
  readonly routes?: readonly Route[];
  /** Told what a route has thrown. Default: a warning of the process. */
  readonly onFault?: OnFault;
  /** Told of everyone who was not let in, less those whose HTTP itself was wrong. */
  readonly onRefusal?: (refusal: Refusal, address: string) => void;
}

/**
 * Listens. Who is let in is a {@link ControlConnection} or a {@link RingSender}, and given to `open` before it is read from.
 *
 * Errors    `argument_invalid`, also for all interfaces without `exposeAll`; `token_invalid`; `tls_invalid`;
 *           `listen_failed`.
 */
export async function listen<M>(options: ListenOptions<M>): Promise<Listener> {
  const { host = "127.0.0.1", port = 0, exposeAll = false, tls } = options;
  const address = await interfaceOf(host, exposeAll);
  const listener = new Room(options, await httpServer(limitsOf(options.limits), tls));
  await listener.bind(address, port);
  return listener;
}

/** An open door. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Where it is dialled on this machine, as ws:// or wss://. */
  readonly url: string;
  readonly connections: ReadonlySet<Connection>;
  /** Sockets that have not yet said who they are. */
  readonly strangers: number;
  /** Sockets that have made a plain request, as long as they are there. */
  readonly guests: number;
  /** The epoch whose tickets are taken; −1 before the first. */
  readonly epoch: number;
  /**
   * Takes tickets of this epoch from these nodes, and of no other epoch any more. Connections of the last one are not ended.
   * An epoch that is past changes nothing.
   */
  openEpoch(epoch: number, peers: Iterable<string>): void;
  /** Closes the door and all connections; resolves when no socket is left. */
  close(): Promise<void>;
}

class Room<M> implements Listener {
  readonly #options: ListenOptions<M>;
  readonly #server: Server;
  readonly #limits: TransportLimits;
  readonly #clock: Clock;
  readonly #tickets: TicketBook;
  readonly #door: Door;
  readonly #doorkeeper: Doorkeeper;
  readonly #reception: Reception;
  readonly #webSockets: WebSocketServer;
  readonly #connections = new Set<Connection>();
  #bound: AddressInfo | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ListenOptions<M>, server: Server) {
    const { runId, nodeId, token, lane = 0, control, ring, routes = [] } = options;
    this.#options = options;
    this.#server = server;
    this.#limits = limitsOf(options.limits);
    this.#clock = options.clock ?? systemClock;
    const key = token.ticketKey(checkRunId(runId));
    this.#tickets = new TicketBook({
      ...{ key, runId, nodeId: checkNodeId(nodeId), lane, clock: this.#clock },
    });
    this.#door = {
      token,
      runId,
      planes: new Set([
        ...(control ? ["control" as const] : []),
        ...(ring ? ["ring" as const] : []),
      ]),
      tickets: this.#tickets,
      hasRoom: () => this.#connections.size < this.#limits.connections,
    };
    this.#doorkeeper = new Doorkeeper(this.#limits, this.#clock);
    this.#webSockets = this.#webSocketServer();
    this.#reception = new Reception({
      ...{ routes, runId, nodeId, token, limits: this.#limits, clock: this.#clock },
      namesAt: (socket) => this.#namesAt(socket),
      onKnown: (socket) => this.#doorkeeper.known(socket),
      onRefusal: (refusal, socket) => options.onRefusal?.(refusal, socket.remoteAddress ?? ""),
      onFault: options.onFault ?? warnOfFault,
    });
    server.on("request", (request, response) => this.#reception.receive(request, response));
    server.on("connection", (socket: Socket) => this.#onConnection(socket));
    server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#onUpgrade(request, socket, head),
    );
  }

  get host(): string {
    return this.#bound?.address ?? "";
  }

  get port(): number {
    return this.#bound?.port ?? 0;
  }

  get url(): string {
    const host = isWildcard(this.host) ? "127.0.0.1" : this.host;
    return `${this.#options.tls ? "wss" : "ws"}://${host.includes(":") ? `[${host}]` : host}:${this.port}`;
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  get strangers(): number {
    return this.#doorkeeper.strangers;
  }

  get guests(): number {
    return this.#reception.guests;
  }

  get epoch(): number {
    return this.#tickets.epoch;
  }

  openEpoch(epoch: number, peers: Iterable<string>): void {
    this.#tickets.open(epoch, peers);
  }

  async bind(host: string, port: number): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen({ host, port, exclusive: true }, () => {
          this.#server.off("error", reject);
          this.#bound = this.#server.address() as AddressInfo;
          resolve();
        });
      });
    } catch (cause) {
      throw new ClusterError({
        code: "listen_failed",
        what: "the node cannot listen.",
        got: `${host}, port ${port}: ${(cause as NodeJS.ErrnoException).code ?? "unknown error"}`,
        fix: "give another port, or 0 for any that is free",
      });
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const isDown = new Promise((resolve) => this.#server.close(resolve));
    this.#doorkeeper.clear();
    this.#server.closeAllConnections();
    const ends = [...this.#connections].map((each) => each.close(CLOSE.goingAway, "node leaves"));
    await Promise.all([isDown, ...ends]);
  }

  #onConnection(socket: Socket): void {
    const refusal = this.#doorkeeper.watch(socket);
    if (!refusal) return;
    this.#options.onRefusal?.(refusal, socket.remoteAddress ?? "");
    // there is no speaking plainly before TLS
    if (this.#options.tls) socket.destroy();
    else refuse(socket, refusal);
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#doorkeeper.known(socket);
    const { url = "", method = "", headers } = request;
    const names = this.#namesAt(socket);
    const answer = admit({ url, method, headers, ...(names && { names }) }, this.#door);
    if ("status" in answer) {
      this.#options.onRefusal?.(answer, socket.remoteAddress ?? "");
      refuse(socket, answer);
    } else if (answer.plane === "control") {
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const link = new WebSocketLink(webSocket);
        const { control } = this.#options;
        const parts = { link, ...this.#partsOf(answer, socket) };
        if (control) this.#keep(new ControlConnection(parts, control.codec, control.open));
      });
    } else this.#openRing(answer, headers, socket, head);
  }

  #namesAt(socket: Socket): readonly string[] | undefined {
    if (this.#options.tls?.ca === undefined) return undefined;
    return namesOf((socket as TLSSocket).getPeerCertificate());
  }

  #openRing(
    admission: Admission,
    headers: IncomingHttpHeaders,
    socket: Socket,
    head: Buffer,
  ): void {
    const { ring } = this.#options;
    if (!ring) return;
    const intake = new Intake();
    const link = new FramedLink(socket, intake);
    socket.setTimeout(0).setNoDelay();
    socket.write(
      [
        "HTTP/1.1 101 Switching Protocols",
        ...["Connection: Upgrade", `Upgrade: ${PROTOCOLS.ring}`],
        ...proofHeaders("ring", headers, this.#options),
        "\r\n",
      ].join("\r\n"),
    );
    this.#keep(new RingSender({ link, ...this.#partsOf(admission, socket) }, ring.open));
    socket.on("data", (bytes: Buffer) => intake.take(bytes));
    intake.take(head);
  }

  #partsOf(
    { plane, role, nodeId }: Admission,
    socket: Socket,
  ): Omit<ConnectionParts<Link>, "link"> {
    return {
      peer: { nodeId, role, plane, address: `${socket.remoteAddress}:${socket.remotePort}` },
      limits: this.#limits,
      clock: this.#clock,
      isServer: true,
    };
  }

  #keep(connection: Connection): void {
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    if (this.#closing !== undefined) void connection.close(CLOSE.goingAway, "node leaves");
  }

  #webSocketServer(): WebSocketServer {
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      ...frameLimits(this.#limits.controlBytes, this.#limits),
    });
    server.on("headers", (headers, request) => {
      headers.push(...proofHeaders("control", request.headers, this.#options));
    });
    return server;
  }
}
