/**
 * How long a sum over all nodes takes, on paper: the flat ring of `cluster/`, and what could take over from it.
 *
 * Times are seconds, sizes bytes, speeds bytes a second. The models know no contention, no jitter and no failures; the ring's is
 * held to a simulation of chunks on links in `test/unit/bench/ring-model.test.ts`.
 */

/** What lies between two neighbours. */
export interface Link {
  /** Payload that moves at once in one direction. */
  readonly bytesPerSecond: number;
  /** From the last byte that a node has sent to the first that its neighbour passes on. */
  readonly hopSeconds: number;
  /** What is passed on as soon as it is there. */
  readonly chunkBytes: number;
}

/** A machine and its network. */
export interface RingMachine {
  readonly lineBitsPerSecond: number;
  readonly hopSeconds: number;
  readonly chunkBytes: number;
  /** Processor time of sending, receiving and adding a byte. Default 0: the network is the limit. */
  readonly cpuSecondsPerByte?: number;
  /** Rings beside each other, a thread each. Default 1. */
  readonly threads?: number;
}

/** Of a line's bits, those that are payload under Ethernet, IP, TCP and WebSocket. */
const PAYLOAD = 0.94;

/** Of a step's computation, the backward pass, beside which gradients can travel. */
const BACKWARD = 2 / 3;

/** The link of a machine: its line, or its processor where that is slower. */
export function linkOf({
  lineBitsPerSecond,
  hopSeconds,
  chunkBytes,
  cpuSecondsPerByte = 0,
  threads = 1,
}: RingMachine): Link {
  const line = (PAYLOAD * lineBitsPerSecond) / 8;
  const software = cpuSecondsPerByte > 0 ? threads / cpuSecondsPerByte : Number.POSITIVE_INFINITY;
  return { bytesPerSecond: Math.min(line, software), hopSeconds, chunkBytes };
}

/**
 * The pipelined ring: 2(N−1) hops, each as long as the slower of a segment on its link, s, and a chunk on its way, a; then what is
 * left of the last segment behind its first chunk. `2(N−1)·max(s, a) + min(s, a) − c`, with s = S/(N·B), c = min(m, S/N)/B and
 * a = L + c.
 */
export function ringSeconds(nodes: number, bytes: number, link: Link): number {
  if (nodes === 1) return 0;
  const { bytesPerSecond, hopSeconds, chunkBytes } = link;
  const segment = bytes / nodes / bytesPerSecond;
  const chunk = Math.min(segment, chunkBytes / bytesPerSecond);
  const hop = hopSeconds + chunk;
  return 2 * (nodes - 1) * Math.max(segment, hop) + Math.min(segment, hop) - chunk;
}

/**
 * N*: how many nodes the ring keeps busy, `S/(B·L + m)`. With more of them, a hop takes longer than the segment that it carries,
 * and time grows with their number.
 */
export function ringLimit(bytes: number, link: Link): number {
  return bytes / (link.bytesPerSecond * link.hopSeconds + link.chunkBytes);
}

/**
 * Recursive halving and doubling: as many bytes in 2·log2 N hops, `2·⌈log2 N⌉·L + 2(N−1)/N·S/B`. For powers of two; others
 * take a little longer.
 */
export function halvingDoublingSeconds(nodes: number, bytes: number, link: Link): number {
  const hops = 2 * Math.ceil(Math.log2(nodes)) * link.hopSeconds;
  return hops + (2 * (nodes - 1) * bytes) / nodes / link.bytesPerSecond;
}

/** DiLoCo over the ring: what a step costs when nodes meet every `steps` of them. */
export function dilocoSeconds(nodes: number, bytes: number, link: Link, steps: number): number {
  return ringSeconds(nodes, bytes, link) / steps;
}

/** The share of a step in which a node computes, when sums run beside the backward pass. */
export function stepEfficiency(computing: number, summing: number): number {
  return computing / (computing + Math.max(0, summing - BACKWARD * computing));
}
