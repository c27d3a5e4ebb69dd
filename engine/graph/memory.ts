/**
 * Memory planning: slots into a few big buffers ("arenas").
 *
 * Invariants, held by property tests:
 * (1) Two slots that are alive at the same time never overlap.
 * (2) No call reads and writes one buffer through different bindings: WebGPU forbids it even for disjoint ranges
 *     (usage is tracked per buffer). So a slot goes to an arena that holds none of its calls' opposite operands.
 * (3) Offsets are multiples of 256 bytes.
 */
import { OFFSET_ALIGNMENT } from "../gpu/constants.ts";
import type { KernelCall, Program, Slot } from "./kernel.ts";
import { accessOf, homeOf } from "./slot.ts";

/** Where a slot lies. */
export interface Placement {
  /** Index into `arenaBytes`. */
  readonly arena: number;
  readonly offsetBytes: number;
}

/** The result of planning. */
export interface MemoryPlan {
  /** Size of each arena. */
  readonly arenaBytes: readonly number[];
  /** Placements of temporary slots (those not inside another slot). */
  readonly placements: ReadonlyMap<Slot, Placement>;
}

interface Interval {
  readonly slot: Slot;
  readonly first: number;
  last: number;
  readonly enemies: Set<Slot>;
}

interface Block {
  readonly offset: number;
  readonly size: number;
  readonly first: number;
  readonly last: number;
  readonly slot: Slot;
}

/** Places temporary slots. `keepUntilEnd` names slots read after the last call (by copies). */
export function planMemory(
  calls: readonly KernelCall[],
  keepUntilEnd: ReadonlySet<Slot>,
  maxArenaBytes: number,
): MemoryPlan {
  const intervals = lifetimes(calls, keepUntilEnd);
  const arenas: Block[][] = [];
  const sizes: number[] = [];
  const placements = new Map<Slot, Placement>();
  for (const interval of intervals) {
    const size = Math.max(
      OFFSET_ALIGNMENT,
      Math.ceil(interval.slot.sizeBytes / OFFSET_ALIGNMENT) * OFFSET_ALIGNMENT,
    );
    let best: { arena: number; offset: number; growth: number } | undefined;
    arenas.forEach((blocks, arena) => {
      if (blocks.some((b) => interval.enemies.has(b.slot))) return;
      const offset = lowestGap(blocks, interval, size);
      const growth = Math.max(0, offset + size - (sizes[arena] ?? 0));
      if (offset + size > maxArenaBytes) return;
      if (!best || growth < best.growth) best = { arena, offset, growth };
    });
    const place = best ?? { arena: arenas.push([]) - 1, offset: 0, growth: size };
    arenas[place.arena]?.push({
      offset: place.offset,
      size,
      first: interval.first,
      last: interval.last,
      slot: interval.slot,
    });
    sizes[place.arena] = Math.max(sizes[place.arena] ?? 0, place.offset + size);
    placements.set(interval.slot, { arena: place.arena, offsetBytes: place.offset });
  }
  return { arenaBytes: sizes, placements };
}

/** First and last call of every temporary slot, and the slots it must not share a buffer with; in order of first use. */
function lifetimes(calls: readonly KernelCall[], keepUntilEnd: ReadonlySet<Slot>): Interval[] {
  const found = new Map<Slot, Interval>();
  calls.forEach((call, at) => {
    const access = accessOf(call);
    const reads = access.reads.map(homeOf);
    const writes = access.writes.map(homeOf);
    for (const [mine, others] of [
      [reads, writes],
      [writes, reads],
    ] as const) {
      for (const slot of mine) {
        if (slot.kind !== "temporary") continue;
        let interval = found.get(slot);
        if (!interval) {
          interval = { slot, first: at, last: at, enemies: new Set() };
          found.set(slot, interval);
        }
        interval.last = at;
        for (const other of others) if (other !== slot) interval.enemies.add(other);
      }
    }
  });
  for (const slot of keepUntilEnd) {
    const interval = found.get(homeOf(slot));
    if (interval) interval.last = calls.length;
  }
  return [...found.values()];
}

/** Lowest offset at which `size` bytes are free during the interval. */
function lowestGap(blocks: readonly Block[], interval: Interval, size: number): number {
  const alive = blocks
    .filter((b) => b.first <= interval.last && interval.first <= b.last)
    .sort((a, b) => a.offset - b.offset);
  let offset = 0;
  for (const block of alive) {
    if (offset + size <= block.offset) break;
    offset = Math.max(offset, block.offset + block.size);
  }
  return offset;
}

/** Bytes a plan needs, by kind. */
export function planBytes(
  program: Program,
  memory: MemoryPlan,
): { temporary: number; state: number; other: number } {
  let state = 0;
  let other = 0;
  for (const slot of program.slots) {
    if (slot.inside || slot.kind === "temporary") continue;
    if (slot.kind === "state") state += slot.sizeBytes;
    else other += slot.sizeBytes;
  }
  return { temporary: memory.arenaBytes.reduce((a, b) => a + b, 0), state, other };
}
