/** One of the threads of `ring-threads.ts`: a ring plane of its own, which does what it is told. */
import { parentPort, workerData } from "node:worker_threads";
import { ClusterError, type ClusterErrorParts } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import type { Lane } from "../ring/plan.ts";
import { Token } from "../transport/token.ts";
import { RingPlane, type RingPlaneOptions } from "./ring-plane.ts";
import type { RingSpace, RingsRun, RunPlace } from "./rings.ts";

/** What a thread is started with. */
export interface ThreadData {
  readonly options: Omit<RingPlaneOptions, "token" | "clock" | "lane">;
  readonly token: string;
  readonly lane: Lane;
}

/** What a thread is told. What has a `call` is answered with it; buckets are of a `run`. */
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

/** How a call has ended. */
export interface Answer {
  readonly call: number;
  readonly error?: ClusterErrorParts | string;
}

/** What a thread says first: where it listens, or why it does not. */
export type Greeting = { readonly url: string } | { readonly error: ClusterErrorParts | string };

const { options, token, lane } = workerData as ThreadData;
const plane = await opened();
let epoch: number | undefined;
/** The last one begun. */
let current: { readonly id: number; readonly run: RingsRun } | undefined;

async function opened(): Promise<RingPlane> {
  try {
    return await RingPlane.open({ ...options, token: Token.parse(token), lane });
  } catch (error) {
    greet({ error: partsOf(error) });
    return process.exit();
  }
}

function greet(greeting: Greeting): void {
  parentPort?.postMessage(greeting);
}

function partsOf(error: unknown): ClusterErrorParts | string {
  return error instanceof ClusterError ? error.parts : String(error);
}

async function obey(order: Order): Promise<void> {
  switch (order.do) {
    case "begin": {
      const { members, addresses } = order;
      epoch = order.epoch;
      const addressesOf = (node: NodeId): readonly string[] | undefined =>
        addresses[members.indexOf(node)];
      return plane.begin({ epoch, members, addressesOf });
    }
    case "start":
      current = { id: order.run, run: plane.start(order.space, order.place) };
      return current.run.done;
    case "ready":
      if (current?.id === order.run) current.run.bucketReady(order.bucket);
      return;
    case "abort":
      if (epoch === order.epoch) plane.abort(order.why);
      return;
    case "close":
      return plane[Symbol.asyncDispose]();
  }
}

function answer(order: Order, error?: unknown): void {
  if (!("call" in order)) {
    if (error !== undefined) throw error;
    return;
  }
  const answer: Answer = {
    call: order.call,
    ...(error !== undefined && { error: partsOf(error) }),
  };
  parentPort?.postMessage(answer);
}

parentPort?.on("message", (order: Order) => {
  obey(order).then(
    () => answer(order),
    (error: unknown) => answer(order, error),
  );
});
greet({ url: plane.listener.url });
