/** A node that knows the token, answers for another, and then does as it pleases. */
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import { RING_PROTOCOL } from "../../../cluster/transport/frame.ts";
import { HEADER, proofOf } from "../../../cluster/transport/handshake.ts";
import type { Token } from "../../../cluster/transport/token.ts";
import { RUN_ID } from "./hostile.ts";

export interface Impostor<S = WebSocket> {
  readonly url: string;
  /** Called with each connection. */
  onConnection: (socket: S) => void;
  close(): void;
}

/** One that goes by the name of the house. Without a token it cannot prove it. */
export async function openImpostor(
  token: Token | undefined,
  options: ServerOptions = {},
): Promise<Impostor> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, ...options });
  sockets.on("headers", (headers, request) => {
    const key = request.headers["sec-websocket-key"] ?? "";
    const by = String(request.headers[HEADER.node]);
    const proof = token
      ? proofOf(token.bearer("trainer"), { key, by, what: "control", runId: RUN_ID }, "house")
      : "0".repeat(64);
    headers.push(`${HEADER.node}: house`, `${HEADER.proof}: ${proof}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const impostor: Impostor = {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    onConnection: () => {},
    close: () => {
      for (const client of sockets.clients) client.terminate();
      server.close();
    },
  };
  sockets.on("connection", (socket: WebSocket) => {
    socket.on("error", () => {});
    impostor.onConnection(socket);
  });
  return impostor;
}

/** The same on the ring, with its socket bare. Headers may be given in the place of good ones. */
export async function openRingImpostor(
  token: Token,
  given: Readonly<Record<string, string>> = {},
): Promise<Impostor<Socket>> {
  const server = createServer();
  const sockets = new Set<Socket>();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const impostor: Impostor<Socket> = {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    onConnection: () => {},
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  server.on("upgrade", (request, socket: Socket) => {
    const [key, by] = [HEADER.nonce, HEADER.node].map((name) => String(request.headers[name]));
    const bearer = token.bearer("trainer");
    const asked = { key: key as string, by: by as string, what: "ring", runId: RUN_ID } as const;
    const headers = {
      Connection: "Upgrade",
      Upgrade: RING_PROTOCOL,
      [HEADER.node]: "house",
      [HEADER.proof]: proofOf(bearer, asked, "house"),
      ...given,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    sockets.add(socket.on("error", () => {}).on("end", () => socket.end()));
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
    impostor.onConnection(socket);
  });
  return impostor;
}
