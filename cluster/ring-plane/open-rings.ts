/** Opens the data plane of a node. */
import { RingPlane, type RingPlaneOptions } from "./ring-plane.ts";
import { RingThreads } from "./ring-threads.ts";
import type { Rings } from "./rings.ts";

/** What the rings of a node are made with. */
export interface RingsOptions extends Omit<RingPlaneOptions, "lane"> {
  /** Threads, each with a ring of its own; the same number at all nodes. 0: one ring, on this thread. */
  readonly threads?: number;
}

/** Opens the doors: of the first ring at the port, of others at those that follow it; with port 0 at any. Errors: those of `listen`. */
export function openRings({ threads = 0, ...options }: RingsOptions): Promise<Rings> {
  return threads > 0 ? RingThreads.open({ ...options, threads }) : RingPlane.open(options);
}
