/** A model repository as it is asked for: where the hub is, and who asks. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ForgeError } from "../../engine/index.ts";
import { type HubName, parseHubName } from "./name.ts";

/** A model on a hub. */
export interface Repository extends HubName {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  /** What proves who asks. It goes to the endpoint's origin and nowhere else, and is never printed. */
  readonly token: string | undefined;
}

/** The hub that is asked where `HF_ENDPOINT` names no other. */
const DEFAULT_ENDPOINT = "https://huggingface.co";

/**
 * The repository behind a name such as `org/name@revision`.
 *
 * `endpoint` is by default that of `HF_ENDPOINT`; the token is that of `HF_TOKEN`, or of the file in which Python's hub
 * keeps it. Throws `argument_invalid`.
 */
export function repositoryOf(name: string, endpoint?: string): Repository {
  const address = endpoint ?? (process.env["HF_ENDPOINT"] || DEFAULT_ENDPOINT);
  return { ...parseHubName(name), endpoint: checkEndpoint(address), token: token() };
}

function checkEndpoint(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isPlain = url && !url.username && !url.password && !url.search && !url.hash;
  if (isPlain && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, "");
  throw new ForgeError({
    code: "argument_invalid",
    what: "this is no address of a hub",
    // An address with a password in it is nothing to show.
    ...(!address.includes("@") && { got: JSON.stringify(address) }),
    why: "it begins with http:// or https:// and has no user, query or fragment",
    fix: `use HF_ENDPOINT or --endpoint as in ${DEFAULT_ENDPOINT}`,
  });
}

/** The token of `HF_TOKEN`, or of the file in which `hf auth login` leaves it. */
function token(): string | undefined {
  const found = process.env["HF_TOKEN"]?.trim() || readToken(tokenFile());
  if (!found) return undefined;
  if (/^[\x21-\x7e]+$/.test(found)) return found;
  throw new ForgeError({
    code: "argument_invalid",
    what: "the token for the hub has characters that no token has",
    fix: `look at HF_TOKEN and at ${tokenFile()}: a token is one word`,
  });
}

function tokenFile(): string {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const home = process.env["HF_HOME"] || join(cache, "huggingface");
  return process.env["HF_TOKEN_PATH"] || join(home, "token");
}

function readToken(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined; // nobody has logged in
  }
}
