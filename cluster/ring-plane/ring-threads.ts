/** The data plane of a node in threads of its own, so that what the main thread computes holds up no chunk. */
import { extname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { ClusterError, type ClusterErrorParts } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import { RingPlan } from "../ring/plan.ts";
import { Workspace } from "../ring/workspace.ts";
import { misused } from "./failure.ts";
import type { RingPlaneOptions, RunPlace } from "./ring-plane.ts";
import type { Answer, Greeting, Order, SharedSpace, ThreadData } from "./ring-thread.ts";

/** What a node's threads are made with; what is said of one ring goes for each. */
export interface RingThreadsOptions extends Omit<RingPlaneOptions, "clock" | "lane" | "port"> {
  /** Rings that go round at once, a thread each; the same number at all nodes. */
  readonly threads: number;
}

/** Who is in the rings of an epoch. */
export interface ThreadsEpoch {
  readonly epoch: number;
  /** Sorted; the place of a node is its rank. */
  readonly members: readonly NodeId[];
  /** Where the rings of a node are, in the order of {@link RingThreads.urls}. */
  readonly addressesOf: (node: NodeId) => readonly string[] | undefined;
}

/** A collective under way. */
export interface ThreadsRun {
  /** As `Collective.bucketReady`; what is wrong with it rejects {@link done}. */
  bucketReady(bucket: number): void;
  /** As `RingRun.done`: of all threads. */
  readonly done: Promise<void>;
}

/** See the file's head. Each thread has every so-manieth bucket, which changes no bit of a sum. */
export class RingThreads implements AsyncDisposable {
  /** The doors, one of each thread. */
  readonly urls: readonly string[];
  readonly #threads: readonly Thread[];
  readonly #ids = new Map<SharedSpace, number>();
  #lastId = 0;

  private constructor(threads: readonly Thread[], urls: readonly string[]) {
    this.#threads = threads;
    this.urls = urls;
  }

  /** Starts the threads, each of which listens. Errors: those of `listen`. */
  static async open({ threads, token, ...options }: RingThreadsOptions): Promise<RingThreads> {
    const data = { options, token: token.reveal() };
    const all = Array.from({ length: threads }, (_, index) => {
      return new Thread({ ...data, lane: { index, of: threads } });
    });
    try {
      return new RingThreads(all, await Promise.all(all.map((thread) => thread.url)));
    } catch (error) {
      await Promise.all(all.map((thread) => thread.terminate()));
      throw error;
    }
  }

  /** As `RingPlane.begin`, of all threads. */
  async begin({ epoch, members, addressesOf }: ThreadsEpoch): Promise<void> {
    await this.#all((thread, lane) => {
      const addresses = members.map((node) => addressesOf(node)?.[lane]);
      return thread.call({ do: "begin", epoch, members, addresses });
    });
  }

  /**
   * As `RingPlane.start`. A space that is given again, the same object, is not made again.
   *
   * Errors    `argument_invalid` for a space that is none, or whose memory is not shared.
   */
  start(space: SharedSpace, place: RunPlace): ThreadsRun {
    const id = this.#idOf(space);
    const done = this.#all((thread) => thread.call({ do: "start", id, place }));
    done.catch(() => {});
    const bucketReady = (bucket: number): void => {
      for (const thread of this.#threads) thread.tell({ do: "ready", bucket });
    };
    return { bucketReady, done };
  }

  /** As `RingPlane.run`. */
  async run(
    space: SharedSpace,
    place: RunPlace,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const onAbort = (): void => void this.abort("its caller gives up").catch(() => {});
    if (signal?.aborted) onAbort();
    const run = this.start(space, place);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (const bucket of space.shape.buckets.keys()) run.bucketReady(bucket);
      await run.done;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** As `RingPlane.abort`; resolves when all threads have done so, and the places may be used again. */
  async abort(why = "the leader says so"): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.call({ do: "abort", why })));
  }

  /** The threads forget a space. */
  forget(space: SharedSpace): void {
    const id = this.#ids.get(space);
    this.#ids.delete(space);
    if (id !== undefined) for (const thread of this.#threads) thread.tell({ do: "forget", id });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #idOf(space: SharedSpace): number {
    const known = this.#ids.get(space);
    if (known !== undefined) return known;
    const { shape, phases, memory, places } = space;
    if (!(memory.buffer instanceof SharedArrayBuffer)) {
      throw misused("the memory is not shared", "allocate one that is");
    }
    // what is wrong with it is told here
    new Workspace(new RingPlan(shape), phases, memory, places);
    const id = ++this.#lastId;
    this.#ids.set(space, id);
    for (const thread of this.#threads) thread.tell({ do: "space", id, space });
    return id;
  }

  /** What fails in one thread is over in all; the first error is thrown when all have ended, their connections too. */
  async #all(act: (thread: Thread, lane: number) => Promise<void>): Promise<void> {
    let first: { readonly error: unknown } | undefined;
    await Promise.all(
      this.#threads.map(async (thread, lane) => {
        try {
          await act(thread, lane);
        } catch (error) {
          if (first) return;
          first = { error };
          // a thread that is gone is over too
          await this.abort("another of its rings has failed").catch(() => {});
        }
      }),
    );
    if (first) throw first.error;
  }
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
    this.#worker.on("error", (error) => this.#fail(error));
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
    if (this.#failure !== undefined) return;
    await this.call({ do: "close" });
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

function gone(why: string): ClusterError {
  return new ClusterError({
    code: "collective_aborted",
    what: "ring: a thread is gone.",
    got: why,
    fix: "restart the node",
  });
}
