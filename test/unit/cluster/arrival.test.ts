import { describe, expect, test } from "vitest";
import type { ChunkHeader } from "../../../cluster/protocol/chunk-header.ts";
import { arrivalOf, EARLY_WINDOW, type RingPlace } from "../../../cluster/ring/arrival.ts";
import { Stash } from "../../../cluster/ring/stash.ts";
import { checksum } from "../../reference/checksum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import { PLACE } from "../../support/collectives.ts";

describe("arrivalOf", () => {
  const at = (place: Partial<RingPlace>): ChunkHeader => ({
    ...{ phase: "reduce", wire: "f32", bucket: 0, hop: 0, segment: 0, offset: 0 },
    ...{ elements: 1, checksum: 0 },
    ...PLACE,
    ...place,
  });
  const { epoch, op, attempt } = PLACE;

  test.each([
    [{}, "now"],
    [{ attempt: attempt - 1 }, "late"],
    [{ op: op - 1 }, "late"],
    [{ op: op - 1, attempt: attempt + 9 }, "late"],
    [{ op: 0, attempt: 2 ** 32 - 1 }, "late"],
    [{ epoch: epoch - 1, op: op + 9, attempt: attempt + 9 }, "late"],
    [{ attempt: attempt + 1 }, "early"],
    [{ attempt: attempt + EARLY_WINDOW }, "early"],
    [{ op: op + 1 }, "early"],
    [{ op: op + 1, attempt: 0 }, "early"],
    [{ op: op + EARLY_WINDOW, attempt: attempt + 9 }, "early"],
    [{ epoch: epoch + 1, op: 0, attempt: 0 }, "ahead"],
    [{ epoch: 2 ** 32 - 1 }, "ahead"],
  ] as const)("%o is %s", (place, arrival) => {
    expect(arrivalOf(at(place), PLACE)).toBe(arrival);
  });

  test.each([
    { attempt: attempt + EARLY_WINDOW + 1 },
    { op: op + EARLY_WINDOW + 1 },
    { op: 2 ** 32 - 1 },
    { runId: "f".repeat(32) },
    { runId: "f".repeat(32), epoch: epoch - 1 },
  ])("%o cannot be", (place) => {
    expect(clusterCodeOf(() => arrivalOf(at(place), PLACE))).toBe("protocol_violated");
  });
});

describe("stash", () => {
  const chunkAt = (place: Partial<RingPlace>, byte = 1): [ChunkHeader, Uint8Array] => {
    const payload = new Uint8Array(4).fill(byte);
    const header: ChunkHeader = {
      ...{ phase: "reduce", wire: "f32", bucket: 0, hop: 0, segment: 0, offset: 0, elements: 1 },
      ...{ ...PLACE, ...place },
      checksum: checksum(payload),
    };
    return [header, payload];
  };

  test("hands over what belongs to a collective in order, keeps what is later, forgets the rest", () => {
    const stash = new Stash(10);
    const { op, epoch } = PLACE;
    stash.put(...chunkAt({ op: op + 1, attempt: 0 }, 1));
    stash.put(...chunkAt({ op: op + 2, attempt: 0 }, 2));
    stash.put(...chunkAt({ op: op + 2, attempt: 1 }, 3));
    stash.put(...chunkAt({ op: op + 3, attempt: 0 }, 4));
    stash.put(...chunkAt({ op: op + 2, attempt: 0 }, 5));
    const taken = stash.take({ ...PLACE, op: op + 2, attempt: 0 });
    expect(taken.map(({ payload }) => payload[0])).toEqual([2, 5]);
    expect(stash.size).toBe(2);
    const retried = stash.take({ ...PLACE, op: op + 2, attempt: 1 });
    expect(retried.map(({ payload }) => payload[0])).toEqual([3]);
    expect(stash.take({ ...PLACE, epoch: epoch + 1, op: op + 3, attempt: 0 })).toEqual([]);
    expect(stash.size).toBe(0);
  });

  test("has its limit, and room again after it is emptied", () => {
    const stash = new Stash(2);
    const chunk = chunkAt({ op: PLACE.op + 1 });
    stash.put(...chunk);
    stash.put(...chunk);
    expect(clusterCodeOf(() => stash.put(...chunk))).toBe("protocol_violated");
    expect(stash.take({ ...PLACE, op: PLACE.op + 1 })).toHaveLength(2);
    stash.put(...chunk);
    expect(stash.size).toBe(1);
  });

  test("holds nothing that is longer or shorter than it says", () => {
    const [header] = chunkAt({ op: PLACE.op + 1 });
    const stash = new Stash(2);
    expect(clusterCodeOf(() => stash.put(header, new Uint8Array(3)))).toBe("frame_invalid");
    expect(clusterCodeOf(() => stash.put(header, new Uint8Array(1000)))).toBe("frame_invalid");
    expect(stash.size).toBe(0);
  });
});
