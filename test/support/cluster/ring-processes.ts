/** Rings whose ranks are processes: what they sum, and that all have the same, within what rounding may cost. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "vitest";
import type { WireType } from "../../../cluster/ring/wire-type.ts";
import { AllreduceRanks } from "../../../src/bench/allreduce-ranks.ts";
import type { SumCheck } from "../../../src/bench/allreduce-sum.ts";

const TSX = pathToFileURL(join(import.meta.dirname, "../tsx-in-threads.mjs")).href;

/** What is summed. */
export interface RingTask {
  readonly world: number;
  /** Of the vector, f32. */
  readonly elements: number;
  readonly wire: WireType;
}

/** How it is cut and moved, which must make no difference. */
export interface RingCut {
  readonly chunkBytes: number;
  readonly bucketBytes: number;
  /** 0 for the main thread. */
  readonly threads: number;
}

/** As many processes as the largest ring has ranks. */
export function startRanks(most: number): AllreduceRanks {
  return new AllreduceRanks(most, { execArgv: ["--import", TSX] });
}

/** Sums, and looks at what each rank has. */
export async function summed(
  ranks: AllreduceRanks,
  { world, elements, wire }: RingTask,
  cut: RingCut,
): Promise<SumCheck> {
  await ranks.begin(await ranks.open({ world, wire, bytes: 4 * elements, ...cut }));
  await ranks.run("ring");
  const [first, ...others] = await ranks.check();
  const what = JSON.stringify({ world, elements, wire, ...cut });
  if (first === undefined) throw new Error("no rank has answered");
  for (const other of others) expect(other.hash, what).toBe(first.hash);
  expect(first.largestError, what).toBeLessThanOrEqual(first.bound);
  return first;
}

/** As {@link summed}, cut in all these ways: the same bits. */
export async function summedAlike(
  ranks: AllreduceRanks,
  task: RingTask,
  cuts: readonly RingCut[],
): Promise<SumCheck> {
  const hashes = new Set<string>();
  let last: SumCheck | undefined;
  for (const cut of cuts) {
    last = await summed(ranks, task, cut);
    hashes.add(last.hash);
  }
  expect([...hashes], JSON.stringify(task)).toHaveLength(1);
  return last as SumCheck;
}
