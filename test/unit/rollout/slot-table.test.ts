import { describe, expect, it } from "vitest";
import { type Placement, SlotTable } from "../../../src/rollout/slot-table.ts";

/** Places a prompt, fills its slot as the sampler does, and gives it back. */
function run(
  table: SlotTable,
  prompt: readonly number[],
  version = 0,
  session?: object,
): Placement {
  const place = table.place(prompt, version, session);
  if (!place) throw new Error("no slot");
  place.slot.ids = [...prompt];
  table.release(place.slot);
  return place;
}

describe("SlotTable", () => {
  it("goes on in place where nothing is lost, and copies what is shared elsewhere", () => {
    const table = new SlotTable(3);
    expect(run(table, [1, 2, 3])).toMatchObject({ reused: 0, source: undefined });
    const longer = run(table, [1, 2, 3, 4, 5]);
    expect([longer.slot.index, longer.reused, longer.source]).toEqual([0, 3, undefined]);
    const fork = run(table, [1, 2, 9]);
    expect([fork.slot.index, fork.reused, fork.source?.index]).toEqual([1, 2, 0]);
    expect(table.slots[0]?.ids).toEqual([1, 2, 3, 4, 5]);
  });

  it("always leaves the last token of a prompt to be computed", () => {
    const table = new SlotTable(2);
    run(table, [1, 2, 3]);
    expect(run(table, [1, 2, 3])).toMatchObject({ reused: 2 });
  });

  it("copies from slots in use, but never takes them", () => {
    const table = new SlotTable(2);
    const first = table.place([1, 2, 3], 0);
    if (first) first.slot.ids = [1, 2, 3];
    const second = table.place([1, 2, 4], 0);
    expect([second?.slot.index, second?.reused, second?.source?.index]).toEqual([1, 2, 0]);
    expect(table.hasFree).toBe(false);
    expect(table.place([7], 0)).toBeUndefined();
  });

  it("goes on in a free slot rather than copy from one in use that holds the same", () => {
    const table = new SlotTable(3);
    const busy = table.place([1, 2, 3], 0);
    if (busy) busy.slot.ids = [1, 2, 3];
    expect(run(table, [1, 2, 3]).slot.index).toBe(1);
    const next = table.place([1, 2, 3, 4], 0);
    expect([next?.slot.index, next?.reused, next?.source]).toEqual([1, 3, undefined]);
  });

  it("uses nothing of another version", () => {
    const table = new SlotTable(2);
    run(table, [1, 2, 3], 1);
    expect(run(table, [1, 2, 3], 2)).toMatchObject({ reused: 0, source: undefined });
  });

  it("takes empty slots first, then the oldest, a session's last of all", () => {
    const table = new SlotTable(3);
    const session = {};
    expect(run(table, [1, 1], 0, session).slot.index).toBe(0);
    expect(run(table, [2, 2]).slot.index).toBe(1);
    expect(run(table, [3, 3]).slot.index).toBe(2);
    expect(run(table, [4, 4]).slot.index).toBe(1);
    expect(run(table, [5, 5]).slot.index).toBe(2);
    expect(run(table, [1, 1, 6], 0, session)).toMatchObject({ slot: { index: 0 }, reused: 2 });
    table.forget(session);
    run(table, [4, 4, 4]);
    run(table, [5, 5, 5]);
    expect(run(table, [7, 7]).slot.index).toBe(0);
  });
});
