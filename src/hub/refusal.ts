/** What it means when a hub says no. */
import { ForgeError } from "../../engine/index.ts";
import { hubNameText } from "./name.ts";
import type { Repository } from "./repository.ts";
import { retryAfterMs, UnreachableError } from "./retry.ts";

/**
 * The error of an answer that is no success: {@link UnreachableError} where it may work later, else `hub_gated`,
 * `hub_unauthorized`, `hub_not_found` or `hub_answer_invalid`.
 */
export function refusal(
  repository: Repository,
  url: URL,
  { status, headers }: Response,
): ForgeError {
  const got = `${status} from ${placeOf(url)}${saidIn(headers)}`;
  const isHome = url.origin === new URL(repository.endpoint).origin;
  // The address of a file on another host holds for a while only; the hub gives a new one.
  if (status === 408 || status === 429 || status >= 500 || !isHome) {
    const what = status === 429 ? "the hub asks to come back later" : "the hub cannot answer now";
    const askedMs = retryAfterMs(headers.get("retry-after"));
    return new UnreachableError(what, `${status} from ${url.host}`, undefined, askedMs);
  }
  if (headers.get("x-error-code") === "GatedRepo") return gated(repository, got);
  if (status === 401 || status === 403) return unauthorized(repository, got);
  if (status === 404 || status === 410) return notFound(repository, got, headers);
  return answerInvalid(url, got);
}

/** The hub said something that no hub says. */
export function answerInvalid(url: URL | string, got: string): ForgeError {
  return new ForgeError({
    code: "hub_answer_invalid",
    what: "the hub's answer cannot be used",
    got: `${got} (${placeOf(new URL(url))})`,
    fix: "check that HF_ENDPOINT and --endpoint name a Hugging Face hub",
  });
}

function gated({ id, endpoint, token }: Repository, got: string): ForgeError {
  const accept = `accept its conditions on ${endpoint}/${id}`;
  return new ForgeError({
    code: "hub_gated",
    what: `${id} is gated: its owners give it to those who accept their conditions`,
    got,
    fix: token
      ? `${accept} with the account of your token, or set HF_TOKEN to the token of another account`
      : `${accept}, then set HF_TOKEN to a token of that account, from ${endpoint}/settings/tokens`,
  });
}

function unauthorized({ id, endpoint, token }: Repository, got: string): ForgeError {
  const set = `set HF_TOKEN to a token that may read it, from ${endpoint}/settings/tokens`;
  return new ForgeError({
    code: "hub_unauthorized",
    what: token ? `the token may not read ${id}` : `${id} is not public, or is not there at all`,
    got,
    ...(!token && {
      why: "without a token, the hub does not tell private models from missing ones",
    }),
    fix: token ? set : `check the spelling, or ${set}`,
  });
}

function notFound(repository: Repository, got: string, headers: Headers): ForgeError {
  const { id, revision } = repository;
  const isRevision = headers.get("x-error-code") === "RevisionNotFound";
  return new ForgeError({
    code: "hub_not_found",
    what: isRevision
      ? `${id} has no revision ${revision}`
      : `the hub has no ${hubNameText(repository)}`,
    got,
    fix: isRevision
      ? "give a branch, a tag or a commit that it has"
      : "check the spelling on the model's page; one that is private needs a token in HF_TOKEN",
  });
}

/** An address without its query, which is a key to the file on some hosts. */
function placeOf(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function saidIn(headers: Headers): string {
  const said = (headers.get("x-error-message") ?? "").replace(/\p{Cc}/gu, " ").slice(0, 200);
  return said && `: ${said}`;
}
