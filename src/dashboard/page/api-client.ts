/** What the page asks its server, and how it hears of news. */
import { useEffect, useState } from "preact/hooks";
import type { ApiError, MetricRows, RunNews } from "../api.ts";
import { merge } from "./metric-rows.ts";
import { pathOf } from "./route.ts";

/** An answer, or why there is none. The last answer stays while the next is awaited. */
export interface Answer<T> {
  readonly data: T | undefined;
  readonly error: string | undefined;
}

/** Asks for JSON. Throws an Error that says what the server says. */
export async function ask<T>(url: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(url, signal ? { signal } : {}).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new Error("The server does not answer. Does forge-gpu dashboard still run?");
  });
  const body: unknown = await response.json();
  if (!response.ok) throw new Error((body as ApiError).error);
  return body as T;
}

/** The answer to a URL, asked again whenever `version` changes; nothing is asked where the URL is null. */
export function useAnswer<T>(url: string | null, version: unknown = 0): Answer<T> {
  const [state, setState] = useState<Answer<T> & { readonly url: string | null }>({
    ...{ url: null, data: undefined, error: undefined },
  });
  useEffect(() => {
    if (url === null) return;
    const leave = new AbortController();
    ask<T>(url, leave.signal).then(
      (data) => setState({ url, data, error: undefined }),
      (error: Error) => {
        if (!leave.signal.aborted)
          setState((old) => ({
            url,
            data: old.url === url ? old.data : undefined,
            error: error.message,
          }));
      },
    );
    return () => leave.abort();
  }, [url, version]);
  return state;
}

/** Counts the times that a run has changed, or any run where no id is given. */
export function useNews(id?: string): number {
  const [count, setCount] = useState(0);
  useEffect(
    () =>
      listen((news) => {
        if (id === undefined || news.some((each) => each.id === id)) setCount((n) => n + 1);
      }),
    [id],
  );
  return count;
}

/** The metrics of runs by id, which grow by what is new. */
export function useMetrics(ids: readonly string[]): Readonly<Record<string, MetricRows>> {
  const [all, setAll] = useState<Readonly<Record<string, MetricRows>>>({});
  const key = ids.join(" ");
  useEffect(() => {
    const leave = new AbortController();
    const held = new Map<string, MetricRows>();
    const busy = new Map<string, Promise<void>>();
    const fetchOne = async (id: string): Promise<void> => {
      const old = held.get(id);
      const query = old ? `?from=${old.steps.length}&generation=${old.generation}` : "";
      const rows = await ask<MetricRows>(`/api/runs/${pathOf(id)}/metrics${query}`, leave.signal);
      const merged = old ? merge(old, rows) : rows;
      held.set(id, merged);
      setAll((before) => ({ ...before, [id]: merged }));
    };
    // one at a time: two answers for the same rows would be added twice
    const follow = (id: string): void => {
      const before = busy.get(id) ?? Promise.resolve();
      busy.set(
        id,
        before.then(() => fetchOne(id)).catch(() => undefined),
      );
    };
    for (const id of key.split(" ").filter((id) => id !== "")) follow(id);
    const stop = listen((news) => {
      for (const { id } of news) if (key.split(" ").includes(id)) follow(id);
    });
    return () => {
      stop();
      leave.abort();
    };
  }, [key]);
  return all;
}

type Listener = (news: readonly RunNews[]) => void;

const listeners = new Set<Listener>();
let stream: EventSource | undefined;

function listen(listener: Listener): () => void {
  listeners.add(listener);
  connect();
  return () => {
    listeners.delete(listener);
    connect();
  };
}

/** One stream for the whole page, and none while nobody looks: a browser keeps six connections to a server. */
function connect(): void {
  const isWanted = listeners.size > 0 && document.visibilityState === "visible";
  if (isWanted && !stream) {
    stream = new EventSource("/api/events");
    stream.addEventListener("runs", (event) => {
      const news: readonly RunNews[] = JSON.parse(event.data);
      for (const listener of listeners) listener(news);
    });
  } else if (!isWanted) {
    stream?.close();
    stream = undefined;
  }
}

document.addEventListener("visibilitychange", connect);
