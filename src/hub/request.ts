/** Requests to a hub: the token stays with the hub, and a server that falls silent is left. */
import { answerInvalid, refusal } from "./refusal.ts";
import type { Repository } from "./repository.ts";
import { type RetryOptions, UnreachableError } from "./retry.ts";

const MOST_REDIRECTS = 10;

/**
 * Gets `url`, through redirects, for a repository, and returns what `read` makes of the answer, whose status is 2xx. The
 * token is sent to the origin of the endpoint only: files lie on other hosts, and those go by the address that the hub
 * has given.
 *
 * Throws {@link UnreachableError} where it may work later, else what {@link refusal} makes of the answer, or the reason of
 * the signal.
 */
export async function hubGet<T>(
  repository: Repository,
  url: string,
  headers: Readonly<Record<string, string>>,
  options: RetryOptions,
  read: (response: Response, body: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const { stallMs } = options.policy;
  const stop = new AbortController();
  const timer = setTimeout(() => {
    stop.abort(
      new UnreachableError(`${new URL(url).host} is silent`, `nothing for ${stallMs / 1000} s`),
    );
  }, stallMs);
  const onAbort = (): void => stop.abort(options.signal.reason);
  options.signal.throwIfAborted();
  options.signal.addEventListener("abort", onAbort);
  try {
    const response = await follow(repository, url, headers, stop.signal);
    return await read(response, bodyOf(response, timer, stop.signal));
  } catch (error) {
    stop.signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", onAbort);
    stop.abort(); // an answer that is not read to its end would hold the connection
  }
}

async function follow(
  repository: Repository,
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  const home = new URL(repository.endpoint).origin;
  let target = new URL(url);
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    const token = target.origin === home ? repository.token : undefined;
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await send(target, { ...headers, ...authorization }, signal);
    if (response.ok) return response;
    const isRedirect = response.status >= 300 && response.status < 400;
    const location = isRedirect ? response.headers.get("location") : null;
    if (location === null) throw refusal(repository, target, response);
    await response.body?.cancel();
    target = redirected(location, target);
  }
  throw answerInvalid(target, `more than ${MOST_REDIRECTS} redirects`);
}

async function send(
  target: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  try {
    return await fetch(target, { headers, redirect: "manual", signal });
  } catch (cause) {
    throw new UnreachableError(`${target.host} cannot be reached`, reasonOf(cause), cause);
  }
}

function redirected(location: string, from: URL): URL {
  if (URL.canParse(location, from.href)) {
    const target = new URL(location, from.href);
    if (/^https?:$/.test(target.protocol)) return target;
  }
  throw answerInvalid(from, "a redirect to an address that is none");
}

/** Cancelling the reader makes sure that waiting ends: fetch may forget its signal once it has answered. */
async function* bodyOf(
  response: Response,
  timer: NodeJS.Timeout,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const cancel = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", cancel);
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new UnreachableError("the connection was cut", reasonOf(cause), cause);
    });
    signal.throwIfAborted();
    if (done) return;
    timer.refresh();
    yield value;
  }
}

/** What is under "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0]);
  return cause instanceof Error ? reasonOf(cause) : error.message;
}
