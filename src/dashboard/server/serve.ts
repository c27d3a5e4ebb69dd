/** The dashboard's server on a port. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { ForgeError } from "../../../engine/error.ts";
import { dashboardApp } from "./app.ts";
import { builtPage } from "./page-files.ts";
import { RunLibrary } from "./run-library.ts";

/** Of nobody that is known: a bookmark goes on working. */
const DEFAULT_PORT = 4650;

/** Options of {@link serveDashboard}. */
export interface DashboardOptions {
  /** Run directories, or folders above them. */
  readonly places: readonly string[];
  /** 0 for any that is free. Default: {@link DEFAULT_PORT}, or any where that is taken. */
  readonly port?: number | undefined;
  readonly host: string;
  /** Folder of the built page. Default: that of the package. */
  readonly page?: string;
}

/** A server that listens. */
export interface ServedDashboard extends AsyncDisposable {
  readonly url: string;
}

/**
 * Serves a dashboard until it is disposed.
 *
 * @throws ForgeError `argument_invalid` for a port or host that cannot be listened at; `run_not_found` for a place that is not
 * there; `file_invalid` where no page was built
 */
export async function serveDashboard(options: DashboardOptions): Promise<ServedDashboard> {
  const { places, port, host, page = builtPage() } = options;
  const library = new RunLibrary(places);
  const app = dashboardApp({ library, page, host });
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  await listen(server, port ?? DEFAULT_PORT, host).catch((error: unknown) => {
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
      what: "the dashboard cannot listen there",
      got: message,
      fix:
        code === "EADDRINUSE" ? "--port 0 takes one that is free" : "leave --host and --port out",
      cause,
    });
  }
}

/** @throws ForgeError `run_not_found` */
export function checkPlaces(places: readonly string[]): void {
  for (const place of places) {
    if (existsSync(place)) continue;
    throw new ForgeError({
      code: "run_not_found",
      what: "there is no such folder of runs",
      got: place,
      fix: "name a run's directory, or a folder above it",
    });
  }
}
