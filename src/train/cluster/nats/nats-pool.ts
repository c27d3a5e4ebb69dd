/** Groups that travel through work queues of NATS. */
import type { GroupBoard, GroupPool } from "../group-pool.ts";
import type { JobSource } from "../job-source.ts";
import type { NatsLink } from "./connection.ts";
import { NatsBoard } from "./nats-board.ts";
import { NatsJobSource } from "./nats-job-source.ts";

/** Whose groups they are. */
export interface NatsPoolOptions {
  readonly runId: string;
  readonly node: string;
}

/** See the file's head. What the last leader has not used, its successor finds in the queue. */
export class NatsPool implements GroupPool, AsyncDisposable {
  readonly #link: NatsLink;
  readonly #options: NatsPoolOptions;
  #board: NatsBoard | undefined;

  /** The link is the pool's from now on. */
  constructor(link: NatsLink, options: NatsPoolOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** See `GroupPool.open`. Errors: `nats_unreachable`, `nats_refused`. */
  async open(groups: number): Promise<GroupBoard> {
    this.#board = await NatsBoard.open(this.#link, { runId: this.#options.runId, groups });
    return this.#board;
  }

  /** See `GroupPool.source`. */
  source(): JobSource {
    const { runId, node: name } = this.#options;
    return new NatsJobSource(this.#link, { runId, name });
  }

  /** The run is over: where this node led, its queues go. */
  async finish(): Promise<void> {
    await this.#board?.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link[Symbol.asyncDispose]();
  }
}
