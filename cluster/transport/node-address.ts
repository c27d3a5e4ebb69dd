/** Where a node is dialled. */
import { ClusterError } from "../error.ts";

/**
 * ws://host:port or wss://host:port. Addresses carry no path, query or name of a user: those are where secrets leak from.
 *
 * Errors    `argument_invalid`.
 */
export function addressOf(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  const isPlain =
    address !== undefined &&
    /^wss?:$/.test(address.protocol) &&
    [address.username, address.password, address.search, address.hash].every((part) => !part) &&
    (address.pathname === "/" || address.pathname === "");
  if (isPlain) return address;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this is no address of a node.",
    got: address ? `${address.protocol}//${address.host} with more to it` : "no URL",
    why: "it is ws:// or wss://, a host and a port, and nothing else",
    fix: "give the address that the node printed, and the token in a file",
  });
}

/** An address on the host of another one, if there is one. Errors: those of {@link addressOf}. */
export function elsewhere(address: string, host: string | undefined): string {
  if (host === undefined) return address;
  const own = new URL(address);
  own.hostname = addressOf(host).hostname;
  return own.href.replace(/\/$/, "");
}
