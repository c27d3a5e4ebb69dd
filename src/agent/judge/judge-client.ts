/** Questions to a server of chat completions, a few at a time, asked again where that may help. */

/** Where a judge is, and how patient its callers are. */
export interface JudgeEndpoint {
  /** Of the API, such as "http://localhost:8000/v1". */
  readonly baseURL: string;
  /** Sent as a bearer token. Default: none is sent. */
  readonly apiKey?: string;
  readonly model: string;
  /** More fields of the request, such as `temperature` or `max_tokens`. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Attempts after the first. Default 3. */
  readonly retries?: number;
  /** Milliseconds before the second attempt; they double with each that follows. Default 500. */
  readonly retryMs?: number;
  /** Milliseconds that an attempt may take. Default 60,000. */
  readonly timeoutMs?: number;
  /** Requests at once at most. Default 8. */
  readonly concurrency?: number;
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch;
}

/** A message of a question. */
export interface JudgeMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** Characters of an answer, from its end, that the judge is reminded of. */
const REMINDER = 4000;

/** The longest wait that a server may ask for. */
const MOST_ASKED_MS = 60_000;

/** An attempt that failed. */
class AttemptError extends Error {
  /** Whether another may do better. */
  readonly isWorthRetrying: boolean;
  /** Milliseconds that the server asked to wait. */
  readonly askedMs: number;

  constructor(message: string, isWorthRetrying: boolean, askedMs = 0) {
    super(message);
    this.isWorthRetrying = isWorthRetrying;
    this.askedMs = askedMs;
  }
}

/** Asks a judge; see {@link JudgeEndpoint}. */
export class JudgeClient {
  readonly #endpoint: JudgeEndpoint;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(endpoint: JudgeEndpoint) {
    this.#endpoint = endpoint;
    this.#free = endpoint.concurrency ?? 8;
  }

  /**
   * What `read` makes of the judge's answer. Where it throws, the judge is told what it said and why that will not do, and asked
   * again.
   *
   * Throws    the error of the last attempt
   */
  async ask<T>(question: readonly JudgeMessage[], read: (answer: string) => T): Promise<T> {
    const { retries = 3, retryMs = 500 } = this.#endpoint;
    let messages = question;
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await this.#answer(messages);
        try {
          return read(answer);
        } catch (error) {
          messages = corrected(question, answer, error);
          throw error;
        }
      } catch (error) {
        const isFinal = error instanceof AttemptError && !error.isWorthRetrying;
        if (isFinal || attempt >= retries) throw error;
        const askedMs = error instanceof AttemptError ? error.askedMs : 0;
        await sleep(Math.max(askedMs, retryMs * 2 ** attempt));
      }
    }
  }

  async #answer(messages: readonly JudgeMessage[]): Promise<string> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await send(this.#endpoint, messages);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

async function send(endpoint: JudgeEndpoint, messages: readonly JudgeMessage[]): Promise<string> {
  const { baseURL, apiKey, model, body, timeoutMs = 60_000 } = endpoint;
  const fetch = endpoint.fetch ?? globalThis.fetch;
  const response = await fetch(`${baseURL.replace(/\/+$/, "")}/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    },
    body: JSON.stringify({ ...body, model, messages }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  if (!response.ok) {
    const { status } = response;
    const isWorthRetrying = status === 408 || status === 409 || status === 429 || status >= 500;
    const seconds = Number(response.headers.get("retry-after") ?? 0);
    const askedMs = seconds > 0 ? Math.min(seconds * 1000, MOST_ASKED_MS) : 0;
    throw new AttemptError(`HTTP ${status}: ${text.slice(0, 200)}`, isWorthRetrying, askedMs);
  }
  return contentOf(text);
}

function contentOf(text: string): string {
  const answer = JSON.parse(text) as {
    readonly choices?: readonly { readonly message?: { readonly content?: unknown } }[];
  } | null;
  const content = answer?.choices?.[0]?.message?.content;
  if (typeof content === "string") return content;
  throw new AttemptError(`no completion: ${text.slice(0, 200)}`, true);
}

function corrected(
  question: readonly JudgeMessage[],
  answer: string,
  error: unknown,
): JudgeMessage[] {
  const why = error instanceof Error ? error.message : String(error);
  return [
    ...question,
    { role: "assistant", content: answer.slice(-REMINDER) },
    { role: "user", content: `That cannot be read: ${why}` },
  ];
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
