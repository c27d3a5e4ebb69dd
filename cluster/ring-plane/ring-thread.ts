/** One of the threads of `ring-threads.ts`: a ring plane of its own, which does what it is told. */
import { workerData } from "node:worker_threads";
import type { NodeId } from "../membership/record.ts";
import type { Lane } from "../ring/plan.ts";
import { type Servant, serve } from "../thread/serve.ts";
import { Token } from "../transport/token.ts";
import { RingPlane, type RingPlaneOptions } from "./ring-plane.ts";
import type { RingSpace, RingsRun, RunPlace } from "./rings.ts";

/** What a thread is started with. */
export interface ThreadData {
  readonly options: Omit<RingPlaneOptions, "token" | "clock" | "lane">;
  readonly token: string;
  readonly lane: Lane;
}

/** What a thread is told. Buckets are of a `run`. */
export type Order =
  | {
      readonly do: "begin";
      readonly call: number;
      readonly epoch: number;
      readonly members: readonly NodeId[];
      readonly addresses: readonly (readonly string[] | undefined)[];
    }
  | {
      readonly do: "start";
      readonly call: number;
      readonly run: number;
      readonly space: RingSpace;
      readonly place: RunPlace;
    }
  | { readonly do: "ready"; readonly run: number; readonly bucket: number }
  /** Of that epoch, if it is under way. */
  | {
      readonly do: "abort";
      readonly call: number;
      readonly epoch: number | undefined;
      readonly why: string;
    }
  | { readonly do: "close"; readonly call: number };

class RingServant implements Servant<Order> {
  readonly #plane: RingPlane;
  #epoch: number | undefined;
  /** The last one begun. */
  #current: { readonly id: number; readonly run: RingsRun } | undefined;

  constructor(plane: RingPlane) {
    this.#plane = plane;
  }

  get url(): string {
    return this.#plane.listener.url;
  }

  async obey(order: Order): Promise<void> {
    switch (order.do) {
      case "begin": {
        const { members, addresses } = order;
        this.#epoch = order.epoch;
        const addressesOf = (node: NodeId): readonly string[] | undefined =>
          addresses[members.indexOf(node)];
        return this.#plane.begin({ epoch: order.epoch, members, addressesOf });
      }
      case "start":
        this.#current = { id: order.run, run: this.#plane.start(order.space, order.place) };
        return this.#current.run.done;
      case "ready":
        if (this.#current?.id === order.run) this.#current.run.bucketReady(order.bucket);
        return;
      case "abort":
        if (this.#epoch === order.epoch) this.#plane.abort(order.why);
        return;
      case "close":
        return this.#plane[Symbol.asyncDispose]();
    }
  }
}

const { options, token, lane } = workerData as ThreadData;
await serve<Order>(
  async () =>
    new RingServant(await RingPlane.open({ ...options, token: Token.parse(token), lane })),
);
