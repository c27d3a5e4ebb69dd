/** What a node's door answers to plain HTTP requests. */
import { ClusterError } from "../error.ts";
import { PATHS } from "./handshake.ts";
import type { Role } from "./identity.ts";

export type Method = "GET" | "POST";

/** A request of a node that has said who it is. */
export interface RouteRequest {
  readonly role: Role;
  readonly nodeId: string;
  /** What follows the path of the route, if that ends with a slash; else empty. */
  readonly segment: string;
  /** The header of that name, as it came. */
  readonly range: string | undefined;
  readonly body: Uint8Array;
  /** Aborts when who has asked is gone, or the door closes. */
  readonly signal: AbortSignal;
}

/** What it is answered. */
export interface RouteAnswer {
  readonly status: number;
  /** Bytes, which are not copied and must not change until they have left, or what JSON is made of. */
  readonly body?: Uint8Array | object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A kind of request, and who may make it. */
export interface Route {
  readonly method: Method;
  /** As `/status`; or as `/blobs/`, which takes one segment more, of letters, digits, dots, dashes and underscores. */
  readonly path: string;
  readonly roles: readonly Role[];
  /** Most bytes of the body of a POST. Default 0. */
  readonly bodyBytes?: number;
  /** May take its time. What it throws is answered with a 500 that does not say what. */
  answer(request: RouteRequest): Promise<RouteAnswer>;
}

/** What is at a path. */
export interface Found {
  readonly routes: ReadonlyMap<string, Route>;
  readonly segment: string;
}

/** Of a route, and of what is asked for. */
export const PATH: RegExp = /^(\/[A-Za-z0-9._-]{1,128})+\/?$/;

const SEGMENT = /^[A-Za-z0-9._-]{1,128}$/;

/** Routes by their paths. Nothing is ever said in a query. */
export class RouteTable {
  readonly #byPath = new Map<string, Map<string, Route>>();

  /** Errors    `argument_invalid` for a path that is none, or is taken. */
  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const { method, path } = route;
      const there = this.#byPath.get(path) ?? new Map<string, Route>();
      const isTaken = there.has(method) || Object.values(PATHS).includes(path);
      if (!PATH.test(path) || isTaken) throw wrongRoute(route, isTaken);
      this.#byPath.set(path, there.set(method, route));
    }
  }

  find(url: string): Found | undefined {
    const end = url.endsWith("/") ? -1 : url.lastIndexOf("/") + 1;
    if (end < 1) return undefined;
    const exact = this.#byPath.get(url);
    if (exact) return { routes: exact, segment: "" };
    const segment = url.slice(end);
    const routes = this.#byPath.get(url.slice(0, end));
    return routes && SEGMENT.test(segment) ? { routes, segment } : undefined;
  }
}

function wrongRoute({ method, path }: Route, isTaken: boolean): ClusterError {
  return new ClusterError({
    code: "argument_invalid",
    what: "this cannot be a route.",
    got: `${method} ${JSON.stringify(path).slice(0, 80)}`,
    why: isTaken
      ? "there is another at its path"
      : "a path is of segments of letters, digits, dots, dashes and underscores, each after a slash",
    fix: "give the route another path",
  });
}
