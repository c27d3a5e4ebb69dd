/** A node that knows the token, answers for another, and then does as it pleases. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import { HEADER, proofOf } from "../../../cluster/transport/handshake.ts";
import type { Plane } from "../../../cluster/transport/identity.ts";
import type { Token } from "../../../cluster/transport/token.ts";
import { RUN_ID } from "./hostile.ts";

export interface Impostor {
  readonly url: string;
  /** Called with each connection. */
  onConnection: (socket: WebSocket) => void;
  close(): void;
}

/** One that goes by the name of the house. Without a token it cannot prove it. */
export async function openImpostor(
  plane: Plane,
  token: Token | undefined,
  options: ServerOptions = {},
): Promise<Impostor> {
  const server = createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, ...options });
  sockets.on("headers", (headers, request) => {
    const key = request.headers["sec-websocket-key"] ?? "";
    const proof = token
      ? proofOf(token.bearer("trainer"), { key, what: plane, runId: RUN_ID }, "house")
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
