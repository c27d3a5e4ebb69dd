/** The data plane of a node in threads of its own, so that what the main thread computes holds up no chunk. */
import { join } from "node:path";
import { pick } from "../thread/pick.ts";
import { Thread } from "../thread/thread.ts";
import { misused } from "./failure.ts";
import type { RingPlaneOptions } from "./ring-plane.ts";
import type { Order, ThreadData } from "./ring-thread.ts";
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
  readonly #threads: readonly Thread<Order>[];
  #epoch: number | undefined;
  #runs = 0;

  private constructor(threads: readonly Thread<Order>[], urls: readonly string[]) {
    this.#threads = threads;
    this.urls = urls;
  }

  /** Starts the threads, each of which listens: the first at the port, the others behind it. Errors: those of `listen`. */
  static async open({ threads, ...given }: RingThreadsOptions): Promise<RingThreads> {
    const { port = 0 } = given;
    const all = Array.from({ length: threads }, (_, index) => {
      const options = { ...pick(given, POSTED), port: port === 0 ? 0 : port + index };
      const data: ThreadData = {
        ...{ options, token: given.token.reveal(), lane: { index, of: threads } },
      };
      return new Thread<Order>({ entry: join(import.meta.dirname, "ring-thread"), data });
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
    await Promise.all(
      this.#threads.map(async (thread) => {
        // one that is gone is closed
        await thread.call({ do: "close" }).catch(() => {});
        await thread.terminate();
      }),
    );
  }

  /** Resolves when all threads have ended it, and its places may be used again. A thread that is gone has ended all. */
  async #abort(epoch: number | undefined, why: string): Promise<void> {
    await Promise.allSettled(
      this.#threads.map((thread) => thread.call({ do: "abort", epoch, why })),
    );
  }

  /** What fails in one thread is over in all; the first error is thrown when all have ended, their connections too. */
  async #all(
    epoch: number | undefined,
    act: (thread: Thread<Order>) => Promise<void>,
  ): Promise<void> {
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

/** What of the options a thread is told, beside the token. */
const POSTED = [
  ...(["host", "exposeAll", "runId", "nodeId", "tls", "limits"] as const),
  ...(["progressMs", "readyMs", "connectMs"] as const),
] as const;
