/** Dashboards served from folders of runs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { serveDashboard } from "../../src/dashboard/server/serve.ts";
import type { Listening } from "../../src/page-server/listening.ts";

/** A folder of its own, with a page of one file. */
export interface Workbench extends Disposable {
  /** Where runs go. */
  readonly runs: string;
  /** A folder with an `index.html`. */
  readonly page: string;
}

/** Makes one. */
export function workbench(): Workbench {
  const folder = mkdtempSync(join(tmpdir(), "forge-gpu-dashboard-"));
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>page</title>");
  return {
    runs: join(folder, "runs"),
    page: folder,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A dashboard on a free port of the loopback. */
export function servedAt({ runs, page }: Pick<Workbench, "runs" | "page">): Promise<Listening> {
  return serveDashboard({ places: [runs], port: 0, host: "127.0.0.1", page });
}

/** What an address answers: fetch would send neither another host nor a path that climbs. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** Asks by a path and headers as they are. */
export function rawRequest(
  url: string,
  path: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, method, headers }, async (answer) => {
      const body = await text(answer);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body });
    });
    asked.on("error", reject).end();
  });
}
