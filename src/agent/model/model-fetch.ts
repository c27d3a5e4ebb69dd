/** A server of chat completions without a network: what `fetch` would answer. */
import { ForgeError } from "../../../engine/error.ts";
import type {
  ChatCompletions,
  CompletionChunk,
  CompletionRequest,
  ModelList,
} from "./openai-types.ts";
import { readableOf } from "./readable.ts";

/** Under a name that no network knows. */
export const BASE_URL = "http://policy.invalid/v1";

/** Who answers. */
export interface Served {
  readonly completions: ChatCompletions;
  readonly models: { list(): Promise<ModelList> };
}

/** Answers POST chat/completions and GET models under {@link BASE_URL}; errors are those of OpenAI's API, with our codes. */
export function modelFetch({
  completions,
  models,
}: Served): (input: string | URL | Request, init?: RequestInit) => Promise<Response> {
  return async (input, init) => {
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    const route = `${request.method} ${request.url.split(/[?#]/, 1)[0]}`;
    try {
      if (route === `GET ${BASE_URL}/models`) return Response.json(await models.list());
      if (route !== `POST ${BASE_URL}/chat/completions`) return notFound(route);
      return await completed(completions, request);
    } catch (error) {
      request.signal.throwIfAborted();
      return failed(error);
    }
  };
}

async function completed(completions: ChatCompletions, request: Request): Promise<Response> {
  const { signal } = request;
  const body = (await bodyOf(request)) as CompletionRequest;
  const answer = await completions.create(body, { signal });
  if (!("controller" in answer)) return Response.json(answer);
  const events = serverSentEvents(answer, signal);
  return new Response(readableOf(events, answer.controller), {
    headers: { "content-type": "text/event-stream" },
  });
}

async function bodyOf(request: Request): Promise<unknown> {
  try {
    return await request.json();
  } catch (cause) {
    request.signal.throwIfAborted();
    throw new ForgeError({
      code: "argument_invalid",
      what: "the body of the request is no JSON.",
      fix: "send a request of chat completions",
      cause,
    });
  }
}

async function* serverSentEvents(
  chunks: AsyncIterable<CompletionChunk>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const encoder = new TextEncoder();
  try {
    for await (const chunk of chunks) yield encoder.encode(`data: ${JSON.stringify(chunk)}\n\n`);
  } catch (error) {
    yield encoder.encode(`data: ${JSON.stringify(errorOf(error))}\n\n`);
  }
  signal.throwIfAborted();
  yield encoder.encode("data: [DONE]\n\n");
}

function notFound(route: string): Response {
  const error = {
    message: `Unknown request: ${route}. There are POST ${BASE_URL}/chat/completions and GET ${BASE_URL}/models.`,
    type: "invalid_request_error",
    param: null,
    code: "unknown_url",
  };
  return Response.json({ error }, { status: 404, headers: NO_RETRY });
}

function failed(error: unknown): Response {
  const isOurs = error instanceof ForgeError && REFUSALS.has(error.code);
  return Response.json(errorOf(error), { status: isOurs ? 400 : 500, headers: NO_RETRY });
}

/** What the request is to blame for. */
const REFUSALS: ReadonlySet<string> = new Set([
  "argument_invalid",
  "context_exceeded",
  "template_invalid",
]);

/** Asking again would be another request of the episode. */
const NO_RETRY = { "x-should-retry": "false" };

function errorOf(error: unknown): { error: object } {
  const code = error instanceof ForgeError ? error.code : "internal";
  const type = REFUSALS.has(code) ? "invalid_request_error" : "server_error";
  const message = error instanceof Error ? error.message : String(error);
  return {
    error: {
      ...{ message, type, param: null },
      code: code === "context_exceeded" ? "context_length_exceeded" : code,
    },
  };
}
