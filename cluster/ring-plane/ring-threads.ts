/** The data plane of a node in threads of its own, so that what the main thread computes holds up no chunk. */
import { extname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { ClusterError, type ClusterErrorParts } from "../error.ts";
import { misused } from "./failure.ts";
import type { RingPlaneOptions } from "./ring-plane.ts";
import type { Answer, Greeting, Order, ThreadData } from "./ring-thread.ts";
import type { RingEpoch, RingSpace, Rings, RingsRun, RunPlace } from "./rings.ts";

/** What a node's threads are made with; what is said of one ring goes for each. */
export interface RingThreadsOptions extends Omit<RingPlaneOptions, "lane"> {
  /** Rings that go round at once, a thread each; the same number at all nodes. */
  readonly threads: number;
}

/**
 * See the file's head. Each thread has every so-manieth bucket, which changes no bit of a sum. Threads keep nothing of a vector
 * when its collective is over. What they are told is told in order, so that an epoch that begins has ended the last one.
 *
 * A thread that dies ends what is under way, and all that comes after it: errors are then final.
 */
export class RingThreads implements Rings {
  readonly urls: readonly string[];
  readonly #threads: readonly Thread[];
  #epoch: number | undefined;
  #runs = 0;

  private constructor(threads: readonly Thread[], urls: readonly string[]) {
    this.#threads = threads;
    this.urls = urls;
  }

  /** Starts the threads, each of which listens: the first at the port, the others behind it. Errors: those of `listen`. */
  static async open({ threads, ...given }: RingThreadsOptions): Promise<RingThreads> {
    const { port = 0 } = given;
    const all = Array.from({ length: threads }, (_, index) => {
      const options = { ...postable(given), port: port === 0 ? 0 : port + index };
      return new Thread({ options, token: given.token.reveal(), lane: { index, of: threads } });
    });
    try {
      return new RingThreads(all, await Promise.all(all.map((thread) => thread.url)));
    } catch (error) {
      await Promise.all(all.map((thread) => thread.terminate()));
      throw error;
    }
  }

  async begin({ epoch, members, addressesOf }: RingEpoch): Promise<void> {
    this.#epoch = epoch;
    const addresses = members.map(addressesOf);
    await this.#all(epoch, (thread) => thread.call({ do: "begin", epoch, members, addresses }));
  }

  start(space: RingSpace, place: RunPlace, signal?: AbortSignal): RingsRun {
    if (!(space.memory.buffer instanceof SharedArrayBuffer)) {
      throw misused("the memory is not shared", "allocate one that is");
    }
    const onAbort = (): void => this.abort("its caller gives up");
    if (signal?.aborted) onAbort();
    const run = ++this.#runs;
    const done = this.#all(this.#epoch, (thread) =>
      thread.call({ do: "start", run, space, place }),
    );
    signal?.addEventListener("abort", onAbort, { once: true });
    const unsign = (): void => signal?.removeEventListener("abort", onAbort);
    done.then(unsign, unsign);
    const bucketReady = (bucket: number): void => {
      for (const thread of this.#threads) thread.tell({ do: "ready", run, bucket });
    };
    return { bucketReady, done };
  }

  abort(why = "the leader says so"): void {
    void this.#abort(this.#epoch, why);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  /** Resolves when all threads have ended it, and its places may be used again. A thread that is gone has ended all. */
  async #abort(epoch: number | undefined, why: string): Promise<void> {
    await Promise.allSettled(
      this.#threads.map((thread) => thread.call({ do: "abort", epoch, why })),
    );
  }

  /** What fails in one thread is over in all; the first error is thrown when all have ended, their connections too. */
  async #all(epoch: number | undefined, act: (thread: Thread) => Promise<void>): Promise<void> {
    let first: { readonly error: unknown } | undefined;
    await Promise.all(
      this.#threads.map(async (thread) => {
        try {
          await act(thread);
        } catch (error) {
          if (first) return;
          first = { error };
          await this.#abort(epoch, "another of its rings has failed");
        }
      }),
    );
    if (first) throw first.error;
  }
}

/** What of the options a thread is told, beside the token: no functions. */
function postable({
  host,
  exposeAll,
  runId,
  nodeId,
  tls,
  limits,
  progressMs,
  readyMs,
  connectMs,
}: Omit<RingThreadsOptions, "threads">): ThreadData["options"] {
  return {
    ...{ runId, nodeId },
    ...(host !== undefined && { host }),
    ...(exposeAll !== undefined && { exposeAll }),
    ...(tls && { tls: { ...tls } }),
    ...(limits && { limits: { ...limits } }),
    ...(progressMs !== undefined && { progressMs }),
    ...(readyMs !== undefined && { readyMs }),
    ...(connectMs !== undefined && { connectMs }),
  };
}

type Call = Extract<Order, { readonly call: number }>;
type Unnumbered<C> = C extends Call ? Omit<C, "call"> : never;

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A worker, from the sources or from the package as this file is. */
class Thread {
  readonly url: Promise<string>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #failure: unknown;

  constructor(data: ThreadData) {
    const entry = join(import.meta.dirname, `ring-thread${extname(import.meta.filename)}`);
    this.#worker = new Worker(entry, { workerData: data });
    this.url = new Promise((resolve, reject) => {
      this.#worker.once("message", (greeting: Greeting) => {
        this.#worker.on("message", (answer: Answer) => this.#settle(answer));
        if ("url" in greeting) resolve(greeting.url);
        else reject(errorOf(greeting.error));
      });
      this.#worker.once("error", reject);
      this.#worker.once("exit", () => reject(gone("it ended before it listened")));
    });
    this.#worker.on("error", (error) => this.#fail(gone("it has thrown", error)));
    this.#worker.on("exit", (code) => this.#fail(gone(`it ended with ${code}`)));
  }

  tell(order: Exclude<Order, Call>): void {
    this.#worker.postMessage(order);
  }

  call(order: Unnumbered<Call>): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const call = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      this.#worker.postMessage({ ...order, call });
    });
  }

  async close(): Promise<void> {
    // one that is gone is closed
    await this.call({ do: "close" }).catch(() => {});
    await this.terminate();
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle({ call, error }: Answer): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (error === undefined) pending?.resolve();
    else pending?.reject(errorOf(error));
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }
}

function errorOf(error: ClusterErrorParts | string): Error {
  return typeof error === "string" ? new Error(error) : new ClusterError(error);
}

function gone(why: string, cause?: unknown): ClusterError {
  return new ClusterError({
    code: "collective_aborted",
    what: "ring: a thread of this node is gone.",
    got: cause === undefined ? why : `${why}: ${String(cause)}`,
    fix: "restart the node",
    isFinal: true,
    cause,
  });
}
