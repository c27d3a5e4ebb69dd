/** What a route answers, as it is sent. */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { checksumOf } from "../protocol/checksum.ts";
import { HEADER } from "./handshake.ts";
import type { Route, RouteAnswer, RouteRequest } from "./route.ts";

/** An answer whose body is bytes, with the headers that say what they are. */
export interface EncodedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Told what a route has thrown. */
export type OnFault = (error: unknown, route: Route) => void;

/** Told of nobody else, a fault is a warning of the process. */
export const warnOfFault: OnFault = (error, { method, path }) => {
  process.emitWarning(`${method} ${path} failed: ${error}`, { code: "FORGE_ROUTE_FAILED" });
};

/** Asks a route. What it throws is answered with a 500 that does not say what. */
export async function answerOf(
  route: Route,
  request: RouteRequest,
  onFault: OnFault,
): Promise<EncodedAnswer> {
  try {
    return encoded(await route.answer(request));
  } catch (error) {
    if (!request.signal.aborted) onFault(error, route);
    return encoded({ status: 500 });
  }
}

/** Throws for what no JSON can be made of, and what no header or status can be. */
function encoded({ status, headers = {}, body = new Uint8Array() }: RouteAnswer): EncodedAnswer {
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new RangeError("not a status");
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  }
  if (body instanceof Uint8Array) {
    return { status, body, headers: { "Content-Type": "application/octet-stream", ...headers } };
  }
  const json = Buffer.from(JSON.stringify(body));
  const about = { "Content-Type": "application/json", [HEADER.checksum]: checksumOf(json) };
  return { status, body: json, headers: { ...about, ...headers } };
}
