/** Who may ask, and what a browser may do with the answer. */
import { hostname, networkInterfaces } from "node:os";
import type { MiddlewareHandler } from "hono";

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** Scripts, styles and data come from this server alone, and nothing is inline. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "object-src 'none'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": CONTENT_SECURITY_POLICY,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

/** Whether an address is of this machine alone. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.includes(host) || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Refuses requests under a name that is not this server's: the page of a stranger whose name resolves to this address is of
 * another origin to us, but of the same to the browser. Nothing is changed by any request, so only GET and HEAD are taken.
 */
export function guard(host: string): MiddlewareHandler {
  const names = new Set([...LOOPBACK, ...(isLoopback(host) ? [host] : namesOfMachine(host))]);
  return async (context, next) => {
    const { method } = context.req;
    if (!names.has(hostOf(context.req.header("host") ?? ""))) {
      context.res = context.text("this server does not go by that name", 403);
    } else if (method !== "GET" && method !== "HEAD") {
      context.res = context.text("only GET", 405, { Allow: "GET, HEAD" });
    } else {
      await next();
    }
    for (const [name, value] of Object.entries(HEADERS)) context.res.headers.set(name, value);
  };
}

/** Without its port. */
function hostOf(header: string): string {
  return header.toLowerCase().replace(/:\d+$/, "");
}

function namesOfMachine(host: string): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [
    ...[host, hostname()].map((name) => name.toLowerCase()),
    ...addresses.map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address)),
  ];
}
