import { describe, expect, test } from "vitest";
import { ownedSegment, segmentsOf } from "../../../cluster/ring/segments.ts";
import { BLOCK, WIRE_TYPES } from "../../../cluster/ring/wire-type.ts";
import { bf16, int8Block, ringSum } from "../../reference/ring-sum.ts";
import {
  type Cut,
  collectivesOf,
  contributionsOf,
  cutOf,
  expectOracle,
  isSame,
  Peer,
  PLACE,
  peersOf,
  RingRun,
  residualsOf,
} from "../../support/collectives.ts";

const WORLDS = [1, 2, 3, 4, 5, 6, 7, 8];

describe("halves", () => {
  const half = (peers: readonly Peer[], cut: Cut, phases: "reduce" | "gather", seed: number) => {
    const place = { ...PLACE, op: phases === "reduce" ? 1 : 2 };
    const ranks = collectivesOf(peers, cut, place, phases);
    const run = new RingRun(ranks, cut.buckets.length, seed, { duplicates: 0.2 }).run();
    expect(run.isDone).toBe(true);
    expect(new Set(run.delivered.map(({ header }) => header.phase)).size).toBeLessThan(2);
  };
  const ownedOf = (total: number, world: number, rank: number) =>
    segmentsOf(total, world)[ownedSegment(rank, world)] as { from: number; to: number };

  test.each(WIRE_TYPES)("reduce alone leaves the sum that both would round, %s", (wire) => {
    for (const world of WORLDS) {
      const seed = world;
      const total = 4099 + 256 * world;
      const peers = peersOf(world, total, wire, seed);
      const owed = residualsOf(world, total, seed);
      half(peers, cutOf(total, wire, seed), "reduce", seed);
      const oracle = ringSum(contributionsOf(world, total, seed), wire, owed);
      for (const [rank, peer] of peers.entries()) {
        const { from, to } = ownedOf(total, world, rank);
        const sum = peer.result.slice(from, to);
        if (wire === "bf16" && world > 1) {
          expect(sum.some((x) => x !== bf16(x))).toBe(true);
          expect(isSame(sum.map(bf16), oracle.sum.slice(from, to))).toBe(true);
        }
        if (wire === "f32") expect(isSame(sum, oracle.sum.slice(from, to))).toBe(true);
        if (wire !== "int8") continue;
        if (world > 1) {
          const rounded: number[] = [];
          for (let at = 0; at < sum.length; at += BLOCK)
            rounded.push(...int8Block([...sum.slice(at, at + BLOCK)]).values);
          expect(isSame(Float32Array.from(rounded), oracle.sum.slice(from, to))).toBe(true);
        } else {
          expect(
            isSame(
              sum,
              peer.contribution.map((x, i) => x + (owed[0]?.[i] ?? 0)),
            ),
          ).toBe(true);
        }
        const expected = (oracle.residuals[rank] as Float32Array).slice().fill(0, from, to);
        expect(isSame(peer.nextResidual, expected)).toBe(true);
      }
    }
  });

  test.each(["f32", "bf16"] as const)("one after the other are both, %s", (wire) => {
    for (const world of WORLDS) {
      const peers = peersOf(world, 5003, wire, world);
      half(peers, cutOf(5003, wire, world), "reduce", world);
      half(peers, cutOf(5003, wire, world + 100), "gather", world + 1);
      // alone, nothing is rounded
      expectOracle(peers, wire, world, world);
    }
  });

  test("the parameters of their owners are gathered as they are, whatever wire the sums had", () => {
    const [world, total] = [5, 6007];
    const parameters = contributionsOf(1, total, 77)[0] as Float32Array;
    const sums = peersOf(world, total, "int8", 3);
    half(sums, cutOf(total, "int8", 3), "reduce", 3);
    const peers = Array.from(
      { length: world },
      (_, i) => new Peer(i, "f32", new Float32Array(total)),
    );
    for (const [rank, peer] of peers.entries()) {
      const { from, to } = ownedOf(total, world, rank);
      peer.result.set(parameters.subarray(from, to), from);
    }
    half(peers, cutOf(total, "f32", 4), "gather", 4);
    for (const peer of peers) expect(isSame(peer.result, parameters)).toBe(true);
  });
});
