/** A page's server on a port. */
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { ForgeError } from "../../engine/error.ts";

/** Where a server is to listen. */
export interface Place {
  /** 0 for any that is free. Default: the usual one, or any where that is taken. */
  readonly port?: number | undefined;
  /** The port that a bookmark knows. */
  readonly usualPort: number;
  readonly host: string;
}

/** A server that listens, until it is disposed. */
export interface Listening extends AsyncDisposable {
  readonly url: string;
}

/** Lets an app listen. Errors: `argument_invalid` for a port or host that cannot be listened at. */
export async function listening(app: Hono, { port, usualPort, host }: Place): Promise<Listening> {
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  await listen(server, port ?? usualPort, host).catch((error: unknown) => {
    if (port !== undefined) throw error;
    return listen(server, 0, host);
  });
  const { port: own } = server.address() as AddressInfo;
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return {
    url: `http://${name.includes(":") ? `[${name}]` : name}:${own}/`,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new ForgeError({
      code: "argument_invalid",
      what: "the server cannot listen there",
      got: message,
      fix:
        code === "EADDRINUSE" ? "--port 0 takes one that is free" : "leave --host and --port out",
      cause,
    });
  }
}
