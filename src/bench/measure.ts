/**
 * Timing contenders side by side: in blocks, interleaved in rounds A B C, A B C, so that a slow phase of the machine hits
 * all of them, with the foreign load of each block beside its time.
 */
import { isClean, type Load, loadSince, markLoad, waitForQuiet } from "./load.ts";

/** One block of calls. */
export interface Block extends Load {
  /** Milliseconds a call. */
  readonly ms: number;
}

/** Something that can be measured. It has shown that its results are right before it exists. */
export interface Contender {
  readonly name: string;
  /** Runs so many calls, waits for the last one, and says how long that took. */
  block(calls: number): Promise<Block>;
}

/** How to measure. */
export interface MeasureOptions {
  /** Rounds of one block each. */
  readonly rounds: number;
  /** A block holds as many calls as fill this time. Default 150. */
  readonly blockMs?: number;
  /** How long to wait for a quiet moment before each block. Default 0. */
  readonly patienceMs?: number;
}

/** What was measured of one contender. */
export interface Summary {
  readonly name: string;
  /** Median of the undisturbed blocks where there are three, else of all. */
  readonly medianMs: number;
  readonly bestMs: number;
  readonly worstMs: number;
  readonly blocks: number;
  readonly cleanBlocks: number;
  readonly callsPerBlock: number;
  /** Median over the blocks; undefined where the system does not say. */
  readonly foreignCores: number | undefined;
  readonly ownCores: number;
}

/** A contender of this process: `run` does so many calls and waits for the last. */
export function contender(name: string, run: (calls: number) => Promise<void>): Contender {
  return {
    name,
    block: async (calls) => {
      const mark = markLoad();
      const start = performance.now();
      await run(calls);
      const ms = (performance.now() - start) / calls;
      return { ms, ...loadSince(mark) };
    },
  };
}

/** Measures all contenders, in their order. */
export async function measure(
  contenders: readonly Contender[],
  options: MeasureOptions,
): Promise<Summary[]> {
  const { rounds, blockMs = 150, patienceMs = 0 } = options;
  const calls: number[] = [];
  for (const { block } of contenders) {
    await block(1);
    const { ms } = await block(1);
    calls.push(Math.max(1, Math.ceil(blockMs / Math.max(ms, 1e-3))));
  }
  const blocks = contenders.map((): Block[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { block }] of contenders.entries()) {
      if (patienceMs > 0) await waitForQuiet(patienceMs);
      blocks[i]?.push(await block(calls[i] ?? 1));
    }
  }
  return contenders.map(({ name }, i) => summarize(name, blocks[i] ?? [], calls[i] ?? 1));
}

/** Sums up the blocks of one contender. */
export function summarize(name: string, blocks: readonly Block[], callsPerBlock: number): Summary {
  const clean = blocks.filter(isClean);
  const used = clean.length >= 3 ? clean : blocks;
  const times = blocks.map((b) => b.ms);
  const foreign = blocks.flatMap((b) => (b.foreignCores === undefined ? [] : [b.foreignCores]));
  return {
    name,
    medianMs: median(used.map((b) => b.ms)),
    bestMs: Math.min(...times),
    worstMs: Math.max(...times),
    blocks: blocks.length,
    cleanBlocks: clean.length,
    callsPerBlock,
    foreignCores: foreign.length > 0 ? median(foreign) : undefined,
    ownCores: median(blocks.map((b) => b.ownCores)),
  };
}

/** The middle value; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] ?? Number.NaN;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** The value below which a share `q` of the values lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
