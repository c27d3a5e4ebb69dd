/** A ring of chunks on links with a virtual clock, chunk by chunk: no formula, and no sockets. */
import { EventQueue } from "./event-queue.ts";

/** What is summed, and over what. */
export interface SimulatedRing {
  readonly nodes: number;
  readonly bytes: number;
  readonly chunkBytes: number;
  /** Bytes a second and seconds of a hop, of the link from each node to the next. */
  readonly linkFrom: (node: number) => {
    readonly bytesPerSecond: number;
    readonly hopSeconds: number;
  };
}

/** When the ring has come to rest, and how much each node has sent. */
export interface SimulatedSum {
  readonly seconds: number;
  readonly sentBytes: readonly number[];
}

/**
 * Reduce-scatter and all-gather: in step s, of 2(N−1), node r sends segment r − s, chunk by chunk, each when it has come and
 * the link is free.
 */
export function simulateRing({ nodes, bytes, chunkBytes, linkFrom }: SimulatedRing): SimulatedSum {
  const queue = new EventQueue();
  const links = Array.from({ length: nodes }, (_, node) => linkFrom(node));
  const freeAt = new Float64Array(nodes);
  const sentBytes = new Array<number>(nodes).fill(0);
  let [order, seconds] = [0, 0];

  const send = (node: number, step: number, size: number, now: number): void => {
    const { bytesPerSecond, hopSeconds } = links[node] as (typeof links)[number];
    const sent = Math.max(now, freeAt[node] as number) + size / bytesPerSecond;
    freeAt[node] = sent;
    sentBytes[node] = (sentBytes[node] as number) + size;
    const at = sent + hopSeconds;
    const next = (node + 1) % nodes;
    const run = (): void => {
      seconds = at;
      if (step + 1 < 2 * (nodes - 1)) send(next, step + 1, size, at);
    };
    queue.push({ at, order: order++, node: undefined, run });
  };

  for (let node = 0; node < nodes; node++) {
    const segment = Math.floor(bytes / nodes) + (node < bytes % nodes ? 1 : 0);
    for (let from = 0; from < segment; from += chunkBytes) {
      send(node, 0, Math.min(chunkBytes, segment - from), 0);
    }
  }
  for (;;) {
    const event = queue.pop(Number.POSITIVE_INFINITY);
    if (event === undefined) return { seconds, sentBytes };
    event.run();
  }
}
