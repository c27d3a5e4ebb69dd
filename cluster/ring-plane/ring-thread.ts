/** One of the threads of `ring-threads.ts`: a ring plane of its own, which does what it is told. */
import { parentPort, workerData } from "node:worker_threads";
import { ClusterError, type ClusterErrorParts } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import { type Lane, RingPlan, type RingShape } from "../ring/plan.ts";
import type { WasmMemory } from "../ring/wasm.ts";
import { type Phases, type Places, Workspace } from "../ring/workspace.ts";
import { Token } from "../transport/token.ts";
import { RingPlane, type RingPlaneOptions, type RunPlace } from "./ring-plane.ts";
import type { RingRun } from "./ring-run.ts";

/** What a thread is started with. */
export interface ThreadData {
  readonly options: Omit<RingPlaneOptions, "token" | "clock" | "lane">;
  readonly token: string;
  readonly lane: Lane;
}

/** A vector and how it is cut, and where it is. */
export interface SharedSpace {
  readonly shape: Omit<RingShape, "lane">;
  readonly phases: Phases;
  /** Shared by the threads. */
  readonly memory: WasmMemory;
  readonly places: Places;
}

/** What a thread is told. What has a `call` is answered with it. */
export type Order =
  | {
      readonly do: "begin";
      readonly call: number;
      readonly epoch: number;
      readonly members: readonly NodeId[];
      readonly addresses: readonly (string | undefined)[];
    }
  | { readonly do: "space"; readonly id: number; readonly space: SharedSpace }
  | { readonly do: "forget"; readonly id: number }
  | { readonly do: "start"; readonly call: number; readonly id: number; readonly place: RunPlace }
  | { readonly do: "ready"; readonly bucket: number }
  | { readonly do: "abort"; readonly call: number; readonly why: string }
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
const spaces = new Map<number, Workspace>();
let run: RingRun | undefined;

async function opened(): Promise<RingPlane> {
  try {
    return await RingPlane.open({ ...options, token: Token.parse(token), lane: lane.index });
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

function workspaceOf({ shape, phases, memory, places }: SharedSpace): Workspace {
  return new Workspace(new RingPlan({ ...shape, lane }), phases, memory, places);
}

async function obey(order: Order): Promise<void> {
  switch (order.do) {
    case "begin": {
      const { epoch, members, addresses } = order;
      return plane.begin({ epoch, members, addressOf: (node) => addresses[members.indexOf(node)] });
    }
    case "space":
      spaces.set(order.id, workspaceOf(order.space));
      return;
    case "forget":
      spaces.delete(order.id);
      return;
    case "start":
      run = plane.start(spaces.get(order.id) as Workspace, order.place);
      return run.done;
    case "ready":
      run?.bucketReady(order.bucket);
      return;
    case "abort":
      plane.abort(order.why);
      return;
    case "close":
      return plane[Symbol.asyncDispose]();
  }
}

function answer(order: Order, error?: unknown): void {
  if (!("call" in order)) {
    // a wrong space, which the main thread has looked at before
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
