import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KernelCall, Slot } from "../../../engine/graph/kernel.ts";
import { type MemoryPlan, planMemory } from "../../../engine/graph/memory.ts";

const NONE: ReadonlySet<Slot> = new Set();
const NO_LIMIT = 2 ** 31;

function slot(id: number, sizeBytes: number, kind: Slot["kind"] = "temporary"): Slot {
  return { id, label: `slot ${id}`, kind, dtype: "f32", elements: sizeBytes / 4, sizeBytes };
}

function call(reads: readonly Slot[], writes: readonly Slot[]): KernelCall {
  const kinds = [...reads.map(() => "read"), ...writes.map(() => "read_write")];
  const source = kinds
    .map((kind, i) => `@group(0) @binding(${i + 1}) var<storage, ${kind}> b${i}: array<f32>;`)
    .join("\n");
  const bindings = [...reads, ...writes];
  return {
    label: "call",
    name: "x",
    source,
    entry: "x",
    bindings,
    params: new Uint32Array(),
    grid: [1, 1, 1],
  };
}

/** A random program: every call reads some slots and writes one or two others. */
const programs = fc
  .record({
    sizes: fc.array(fc.constantFrom(0, 4, 16, 256, 260, 1000, 4096), {
      minLength: 2,
      maxLength: 12,
    }),
    calls: fc.array(
      fc.record({
        picks: fc.array(fc.nat(100), { minLength: 1, maxLength: 6 }),
        writes: fc.integer({ min: 1, max: 2 }),
      }),
      { minLength: 1, maxLength: 25 },
    ),
    kept: fc.array(fc.nat(100), { maxLength: 3 }),
    others: fc.nat(3),
  })
  .map(({ sizes, calls, kept, others }) => {
    const slots = sizes.map((s, i) => slot(i, s, i < others ? "state" : "temporary"));
    const named = (picks: readonly number[]): Slot[] => [
      ...new Set(picks.map((p) => slots[p % slots.length] as Slot)),
    ];
    return {
      kept: new Set(named(kept)),
      accesses: calls.map(({ picks, writes }) => {
        const operands = named(picks);
        return { writes: operands.slice(0, writes), reads: operands.slice(writes) };
      }),
    };
  });

interface Use {
  readonly reads: readonly Slot[];
  readonly writes: readonly Slot[];
}

/** First and last call of each temporary slot. */
function lifetimes(accesses: readonly Use[], kept: ReadonlySet<Slot>): Map<Slot, [number, number]> {
  const found = new Map<Slot, [number, number]>();
  accesses.forEach(({ reads, writes }, at) => {
    for (const s of [...reads, ...writes]) {
      if (s.kind === "temporary") found.set(s, [found.get(s)?.[0] ?? at, at]);
    }
  });
  for (const s of kept) {
    const life = found.get(s);
    if (life) life[1] = accesses.length;
  }
  return found;
}

function plan(accesses: readonly Use[], kept = NONE, limit = NO_LIMIT): MemoryPlan {
  return planMemory(
    accesses.map((a) => call(a.reads, a.writes)),
    kept,
    limit,
  );
}

describe("planMemory", () => {
  test("keeps slots that are alive together apart, whatever the program", () => {
    fc.assert(
      fc.property(programs, ({ accesses, kept }) => {
        const { placements, arenaBytes } = plan(accesses, kept);
        const alive = [...lifetimes(accesses, kept)];
        expect(new Set(placements.keys())).toEqual(new Set(alive.map(([s]) => s)));
        for (const [a, [aFirst, aLast]] of alive) {
          const p = placements.get(a) as { arena: number; offsetBytes: number };
          expect(p.offsetBytes % 256).toBe(0);
          expect(p.offsetBytes + a.sizeBytes).toBeLessThanOrEqual(arenaBytes[p.arena] as number);
          for (const [b, [bFirst, bLast]] of alive) {
            const q = placements.get(b) as { arena: number; offsetBytes: number };
            if (a === b || p.arena !== q.arena || aLast < bFirst || bLast < aFirst) continue;
            const isApart =
              p.offsetBytes + a.sizeBytes <= q.offsetBytes ||
              q.offsetBytes + b.sizeBytes <= p.offsetBytes;
            expect(isApart).toBe(true);
          }
        }
      }),
      { numRuns: 1500 },
    );
  });

  test("lets no call read and write one arena, whatever the program", () => {
    fc.assert(
      fc.property(programs, ({ accesses, kept }) => {
        const { placements } = plan(accesses, kept);
        for (const { reads, writes } of accesses) {
          const written = new Set(writes.map((s) => placements.get(s)?.arena));
          for (const s of reads) {
            const arena = placements.get(s)?.arena;
            expect(arena !== undefined && written.has(arena)).toBe(false);
          }
        }
      }),
      { numRuns: 1500 },
    );
  });

  test("gives no arena more bytes than the limit, unless one slot alone needs them", () => {
    fc.assert(
      fc.property(programs, ({ accesses, kept }) => {
        const { arenaBytes } = plan(accesses, kept, 2048);
        for (const bytes of arenaBytes) expect(bytes === 4096 || bytes <= 2048).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("runs a chain of any length in two arenas of one slot each", () => {
    const slots = Array.from({ length: 20 }, (_, i) => slot(i, 1024));
    const chain = slots.slice(1).map((s, i) => ({ reads: [slots[i] as Slot], writes: [s] }));
    expect(plan(chain).arenaBytes).toEqual([1024, 1024]);
  });

  test("uses memory again once its value has been read for the last time", () => {
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => slot(i, 512)) as [Slot, Slot, Slot, Slot];
    const reused = plan([
      { reads: [], writes: [a] },
      { reads: [a], writes: [b] },
      { reads: [], writes: [c] },
      { reads: [c], writes: [d] },
    ]);
    expect(reused.placements.get(c)).toEqual(reused.placements.get(a));
  });

  test("keeps what copies read after the last call", () => {
    const [a, b] = [slot(0, 512), slot(1, 512)];
    const accesses = [
      { reads: [], writes: [a] },
      { reads: [], writes: [b] },
    ];
    expect(plan(accesses).placements.get(b)).toEqual(plan(accesses).placements.get(a));
    const kept = plan(accesses, new Set([a]));
    expect(kept.placements.get(b)).not.toEqual(kept.placements.get(a));
  });

  test("places a slot made inside another where its home is, and none that has memory of its own", () => {
    const home = slot(0, 1024);
    const inner: Slot = { ...slot(1, 256), inside: { slot: home, offsetBytes: 512 } };
    const own = slot(2, 64, "output");
    const { placements } = plan([
      { reads: [], writes: [inner] },
      { reads: [home], writes: [own] },
    ]);
    expect([...placements.keys()]).toEqual([home]);
  });
});
