/** What a thread of a node does: it does what it is told, and answers what it is called for. */
import { parentPort } from "node:worker_threads";
import { ClusterError, type ClusterErrorParts } from "../error.ts";

/** What is answered with its number. */
export interface Call {
  readonly call: number;
}

/** Of orders those that are calls, as they are before they have a number. */
export type Unnumbered<Order> = Order extends Call ? Omit<Order, "call"> : never;

/** How a call has ended. */
export interface Answer {
  readonly call: number;
  readonly error?: ClusterErrorParts | string;
}

/** What a thread says first: where it listens, or why it does not. */
export type Greeting = { readonly url: string } | { readonly error: ClusterErrorParts | string };

/** What a thread is there for, once it is open. */
export interface Servant<Order> {
  /** Where it listens. */
  readonly url: string;
  /** What it throws is the answer to a call, and ends the thread for all else. */
  obey(order: Order): Promise<void>;
}

/** Opens what the thread is there for, and serves. One that cannot be opened says why, and ends. */
export async function serve<Order extends object>(
  open: () => Promise<Servant<Order>>,
): Promise<void> {
  const port = parentPort;
  if (!port) throw new Error("this is no thread");
  const say = (what: Greeting | Answer): void => port.postMessage(what);
  let servant: Servant<Order>;
  try {
    servant = await open();
  } catch (error) {
    say({ error: partsOf(error) });
    return process.exit();
  }
  const answer = (order: Order, error?: unknown): void => {
    if ("call" in order) {
      const { call } = order as Call;
      say({ call, ...(error !== undefined && { error: partsOf(error) }) });
    } else if (error !== undefined) throw error;
  };
  port.on("message", (order: Order) => {
    servant.obey(order).then(
      () => answer(order),
      (error: unknown) => answer(order, error),
    );
  });
  say({ url: servant.url });
}

function partsOf(error: unknown): ClusterErrorParts | string {
  return error instanceof ClusterError ? error.parts : String(error);
}
