/** How fast the ring is between processes of this machine, and what share of bare TCP that is. */
import type { WireType } from "../../cluster/index.ts";
import { ForgeError } from "../../engine/error.ts";
import { sentBytes, type Turn, WAYS, type Way } from "./allreduce-rank.ts";
import { AllreduceRanks } from "./allreduce-ranks.ts";
import type { SumCheck } from "./allreduce-sum.ts";
import { digits, table } from "./report.ts";

/** What to measure. */
export interface AllreduceOptions {
  /** Processes, from 2 on. */
  readonly world: number;
  /** Of the vector in f32. */
  readonly mib: number;
  readonly wire: WireType;
  readonly chunkKib: number;
  /** Threads that rings go round in; 0 for the main one. */
  readonly threads: number;
  readonly rounds: number;
}

/** One way of moving as many bytes. */
export interface AllreduceRow {
  readonly way: Way;
  /** 10⁹ bytes a second that a node sends: the median of the rounds, and the best. */
  readonly gigabytesPerSecond: number;
  readonly best: number;
  /** Processor seconds of all nodes, by the 10⁹ bytes that they have sent: median. */
  readonly cpuSecondsPerGigabyte: number;
}

/** What was found. */
export interface AllreduceReport {
  readonly options: AllreduceOptions;
  /** Bytes that a node sends in a round. */
  readonly sentBytes: number;
  readonly rows: readonly AllreduceRow[];
  /** The ring's speed by that of bare TCP between the same processes, all at once as they are in the ring. */
  readonly ratio: number;
  /** Of a sum that was looked at before anything was timed. */
  readonly sum: SumCheck;
}

const BUCKET_BYTES = 8 * 2 ** 20;

/** Rounds that are not counted: what a run of hours calls all the time has been compiled for good by then. */
const WARM_UP = 25;

/**
 * Sums once, looks at the sum, and measures all ways in turns.
 *
 * Errors    `hash_mismatch` when ranks differ; `validation` when the sum is not that in f64; `internal` when a process fails.
 */
export async function benchAllreduce(options: AllreduceOptions): Promise<AllreduceReport> {
  const { world, mib, wire, chunkKib, threads, rounds } = options;
  const settings = {
    ...{ world, bytes: mib * 2 ** 20, wire, chunkBytes: chunkKib * 2 ** 10, threads },
    bucketBytes: BUCKET_BYTES,
  };
  await using ranks = new AllreduceRanks(world);
  await ranks.begin(await ranks.open(settings));
  await ranks.run("ring");
  const sum = agreed(await ranks.check());
  const found = new Map<Way, Round[]>(WAYS.map((way) => [way, []]));
  for (let round = -WARM_UP; round < rounds; round++)
    for (const way of WAYS) {
      const turns = await ranks.run(way);
      if (round >= 0) found.get(way)?.push(roundOf(turns));
    }
  const sent = sentBytes(settings);
  const rows = WAYS.map((way) => rowOf(way, found.get(way) ?? [], sent, world));
  const speed = (way: Way): number =>
    rows.find((row) => row.way === way)?.gigabytesPerSecond ?? Number.NaN;
  return { options, sentBytes: sent, rows, ratio: speed("ring") / speed("tcp"), sum };
}

/** The report as Markdown. */
export function allreduceText({ options, sentBytes, rows, ratio, sum }: AllreduceReport): string {
  const { world, mib, wire, chunkKib } = options;
  const cells = rows.map((row) => [
    row.way,
    `${digits(row.gigabytesPerSecond)} GB/s`,
    `${digits(row.best)} GB/s`,
    `${digits(row.cpuSecondsPerGigabyte)} s`,
  ]);
  return [
    `${world} processes, ${mib} MiB as ${wire} in chunks of ${chunkKib} KiB: each sends ${digits(sentBytes / 1e6)} MB a round`,
    table([["", "a node sends", "best", "CPU a GB"], ...cells]),
    `ring / tcp: ${ratio.toFixed(2)}`,
    `the sum was looked at: off by ${sum.largestError.toExponential(1)} at most, of ${sum.bound.toExponential(1)} that rounding may cost; all ranks have ${sum.hash.slice(0, 12)}…`,
  ].join("\n\n");
}

/** How long the slowest took, and what all have used. */
type Round = Turn;

function roundOf(turns: readonly Turn[]): Round {
  return {
    seconds: Math.max(...turns.map(({ seconds }) => seconds)),
    cpuSeconds: turns.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
  };
}

function rowOf(way: Way, rounds: readonly Round[], sent: number, world: number): AllreduceRow {
  const seconds = rounds.map((round) => round.seconds);
  const cpu = median(rounds.map(({ cpuSeconds }) => cpuSeconds));
  const senders = way === "tcp alone" ? 1 : world;
  return {
    way,
    gigabytesPerSecond: sent / 1e9 / median(seconds),
    best: sent / 1e9 / Math.min(...seconds),
    cpuSecondsPerGigabyte: cpu / ((senders * sent) / 1e9),
  };
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low = Number.NaN, high = Number.NaN] = [Math.floor(middle), Math.ceil(middle)].map(
    (index) => sorted[index],
  );
  return (low + high) / 2;
}

/** What all ranks have found, which must be the same, and right. */
function agreed(sums: readonly SumCheck[]): SumCheck {
  const hashes = new Set(sums.map(({ hash }) => hash));
  const [sum] = sums;
  if (!sum || hashes.size !== 1) {
    throw new ForgeError({
      code: "hash_mismatch",
      what: "bench allreduce: the ranks have different sums.",
      got: [...hashes].join(", "),
      fix: "report this as a bug",
    });
  }
  if (sum.largestError <= sum.bound) return sum;
  throw new ForgeError({
    code: "validation",
    what: "bench allreduce: the sum is not that in f64.",
    got: `off by ${sum.largestError}; rounding may cost ${sum.bound}`,
    fix: "report this as a bug",
  });
}
