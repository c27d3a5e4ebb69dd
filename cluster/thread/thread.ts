/** A thread of a node, as the main thread sees it: it is told and called, in order, and tells. */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { ClusterError, type ClusterErrorParts } from "../error.ts";
import type { Answer, Call, Greeting, Unnumbered } from "./serve.ts";

/** What a thread is made of. */
export interface ThreadParts<Told extends object> {
  /** Path of its module, less the extension: that is the one of this file, from the sources or from the package. */
  readonly entry: string;
  readonly data: object;
  /** What it tells unasked. */
  readonly onTold?: (told: Told) => void;
  /** It is gone, unless it was meant to be: all calls fail with this, from now on too. */
  readonly onGone?: (error: ClusterError) => void;
}

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** See the file's head; `serve.ts` is the other side. */
export class Thread<Order extends object, Told extends object = never> {
  /** Where it listens. Errors: what it has failed with before it did. */
  readonly url: Promise<string>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #onGone: (error: ClusterError) => void;
  #calls = 0;
  #failure: ClusterError | undefined;
  #isMeantToEnd = false;

  constructor({ entry, data, onTold = () => {}, onGone = () => {} }: ThreadParts<Told>) {
    this.#onGone = onGone;
    this.#worker = new Worker(`${entry}${extname(import.meta.filename)}`, { workerData: data });
    this.url = new Promise((resolve, reject) => {
      this.#worker.once("message", (greeting: Greeting) => {
        this.#worker.on("message", (said: Answer | Told) => {
          if (isAnswer(said)) this.#settle(said);
          else onTold(said);
        });
        if ("url" in greeting) resolve(greeting.url);
        else reject(errorOf(greeting.error));
      });
      this.#worker.once("error", reject);
      this.#worker.once("exit", () => reject(gone("it ended before it listened")));
    });
    this.#worker.on("error", (error) => this.#fail(gone("it has thrown", error)));
    this.#worker.on("exit", (code) => this.#fail(gone(`it ended with ${code}`)));
  }

  /** Tells it something, less what is transferred. */
  tell(order: Exclude<Order, Call>, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(order, transfer);
  }

  /** Calls it, and waits for its answer. Errors: what it has thrown; `collective_aborted` when it is gone. */
  call(order: Unnumbered<Order>): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const call = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      this.#worker.postMessage({ ...order, call });
    });
  }

  async terminate(): Promise<void> {
    this.#isMeantToEnd = true;
    await this.#worker.terminate();
  }

  #settle({ call, error }: Answer): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (error === undefined) pending?.resolve();
    else pending?.reject(errorOf(error));
  }

  #fail(error: ClusterError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    if (!this.#isMeantToEnd) this.#onGone(error);
  }
}

function isAnswer(said: object): said is Answer {
  return "call" in said;
}

function errorOf(error: ClusterErrorParts | string): Error {
  return typeof error === "string" ? new Error(error) : new ClusterError(error);
}

function gone(why: string, cause?: unknown): ClusterError {
  return new ClusterError({
    code: "collective_aborted",
    what: "cluster: a thread of this node is gone.",
    got: cause === undefined ? why : `${why}: ${String(cause)}`,
    fix: "restart the node",
    isFinal: true,
    cause,
  });
}
