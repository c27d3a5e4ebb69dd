import { describe, expect, it } from "vitest";
import {
  dilocoSeconds,
  halvingDoublingSeconds,
  type Link,
  linkOf,
  ringLimit,
  ringSeconds,
  stepEfficiency,
} from "../../../src/bench/ring-model.ts";
import { simulateRing } from "../../support/cluster/ring-simulation.ts";

const KiB = 2 ** 10;
const link = (gigabits: number, hopSeconds = 150e-6, chunkBytes = 256 * KiB): Link =>
  linkOf({ lineBitsPerSecond: gigabits * 1e9, hopSeconds, chunkBytes });

/** The model's time by the simulation's. */
function ratio(nodes: number, bytes: number, of: Link): number {
  const { seconds } = simulateRing({
    ...{ nodes, bytes, chunkBytes: of.chunkBytes, linkFrom: () => of },
  });
  return ringSeconds(nodes, bytes, of) / seconds;
}

describe("the ring's model against chunks on links", () => {
  it.each([
    // nodes, bytes, gigabits: below N*, about N*, and far beyond it
    [2, 64e6, 10],
    [2, 2.6e6, 100],
    [3, 1e6, 1],
    [8, 2.6e6, 1],
    [8, 270e6, 10],
    [9, 2.6e6, 1],
    [64, 2.6e6, 1],
    [64, 40e6, 1],
    [64, 40e6, 100],
    [91, 40e6, 10],
    [256, 40e6, 10],
    [256, 270e6, 100],
    [512, 270e6, 1],
    [1024, 2.6e6, 10],
    [1024, 40e6, 100],
    [1024, 270e6, 10],
  ])("%d nodes, %d bytes, %d Gbit/s: within a hundredth", (nodes, bytes, gigabits) => {
    const off = ratio(nodes, bytes, link(gigabits));
    expect(off).toBeGreaterThan(0.99);
    expect(off).toBeLessThan(1.01);
  });

  it("is exact for two nodes and one chunk each", () => {
    expect(ratio(2, 1000, link(1))).toBeCloseTo(1, 12);
  });

  it("what is simulated sends 2(N−1)/N of the vector from each node", () => {
    const { sentBytes } = simulateRing({
      ...{ nodes: 8, bytes: 8e6, chunkBytes: 1e5, linkFrom: () => link(1) },
    });
    expect(sentBytes).toEqual(new Array(8).fill((2 * 7 * 8e6) / 8));
  });

  it("one slow link slows all: the model of that link alone", () => {
    const [fast, slow] = [link(10), link(2)];
    const { seconds } = simulateRing({
      ...{ nodes: 8, bytes: 64e6, chunkBytes: fast.chunkBytes },
      linkFrom: (node) => (node === 3 ? slow : fast),
    });
    expect(ringSeconds(8, 64e6, slow) / seconds).toBeGreaterThan(0.95);
    expect(ringSeconds(8, 64e6, slow) / seconds).toBeLessThan(1.05);
  });
});

describe("the models", () => {
  it("N* is where a hop takes as long as its segment", () => {
    const ten = link(10);
    const nodes = ringLimit(40e6, ten);
    const hop = ten.hopSeconds + ten.chunkBytes / ten.bytesPerSecond;
    expect(40e6 / nodes / ten.bytesPerSecond).toBeCloseTo(hop, 12);
    // before it, time hardly grows with nodes; beyond, as fast as they do
    const growth = (from: number): number =>
      ringSeconds(2 * from, 40e6, ten) / ringSeconds(from, 40e6, ten);
    expect(growth(nodes / 4)).toBeLessThan(1.1);
    expect(growth(4 * nodes)).toBeGreaterThan(1.4);
  });

  it("halving and doubling sends as much in fewer hops", () => {
    const ideal = { ...link(10), hopSeconds: 0, chunkBytes: 0 };
    expect(halvingDoublingSeconds(64, 40e6, ideal)).toBeCloseTo(ringSeconds(64, 40e6, ideal), 12);
    const far = { ...link(10), chunkBytes: 0 };
    const hops = (halvingDoublingSeconds(64, 40e6, far) - ringSeconds(64, 40e6, ideal)) / 150e-6;
    expect(hops).toBeCloseTo(12, 6);
  });

  it("a processor is the limit where it is slower than the line, and threads divide its work", () => {
    const machine = { lineBitsPerSecond: 1e11, hopSeconds: 0, chunkBytes: 1 };
    const at = (threads: number): number =>
      linkOf({ ...machine, cpuSecondsPerByte: 0.8e-9, threads }).bytesPerSecond;
    expect(at(1)).toBeCloseTo(1.25e9, 0);
    expect(at(4)).toBeCloseTo(5e9, 0);
    expect(at(64)).toBeCloseTo(linkOf(machine).bytesPerSecond, 0);
    expect(linkOf(machine).bytesPerSecond).toBeCloseTo(11.75e9, 0);
  });

  it("DiLoCo divides a meeting by its steps", () => {
    expect(dilocoSeconds(8, 270e6, link(1), 50)).toBeCloseTo(ringSeconds(8, 270e6, link(1)) / 50);
  });

  it("sums beside the backward pass cost nothing until it is over", () => {
    expect(stepEfficiency(3, 2)).toBe(1);
    expect(stepEfficiency(3, 5)).toBeCloseTo(0.5, 12);
    expect(stepEfficiency(1, 0)).toBe(1);
  });

  it("a node alone sums nothing", () => {
    expect(ringSeconds(1, 1e9, link(1))).toBe(0);
    expect(halvingDoublingSeconds(1, 1e9, link(1))).toBe(0);
  });
});
