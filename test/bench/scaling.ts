/** The tables of docs/scaling.md, by the model in `src/bench/ring-model.ts`. */
import {
  dilocoSeconds,
  halvingDoublingSeconds,
  type Link,
  linkOf,
  ringLimit,
  ringSeconds,
  stepEfficiency,
} from "../../src/bench/ring-model.ts";

/**
 * Measured: `forge-gpu bench allreduce --wire bf16`, two processes on two cores of an EPYC at rest. The ring packs and unpacks at each
 * hop, which in bf16 costs a third of it: in f32 it takes 0.59 to 0.68 s in the same place.
 */
export const MEASURED = {
  /** Processor seconds of both ends for a GB that is sent, received and added. */
  ringCpuSecondsPerGB: 1.03,
  /** The same of bare TCP, which adds nothing, in the same run. */
  tcpCpuSecondsPerGB: 0.34,
};

/** Assumed: what a hop takes between machines of one network, with the node's own share. On loopback it was 25 µs. */
const HOP_SECONDS = 150e-6;

/** What is passed on at a time. */
const CHUNK_BYTES = 256 * 2 ** 10;

/** Bytes of a number on the wire: bf16. */
const BF16 = 2;

const NODES: readonly number[] = [2, 8, 64, 256, 1024];
const GIGABITS: readonly number[] = [1, 10, 100];
const THREADS: readonly number[] = [1, 8, 32];

interface Model {
  readonly name: string;
  /** Numbers that are trained. */
  readonly parameters: number;
  /** Assumed: seconds that a node computes in a step. */
  readonly computing: number;
}

/** A step is 32k tokens a node at 20 to 40 TFLOP/s; for the adapter, of a model of 7B, 16k tokens at 200. */
const MODELS: readonly [Model, Model, Model, Model] = [
  { name: "1.3M", parameters: 1.3e6, computing: 0.26 },
  { name: "LoRA 20M", parameters: 20e6, computing: 2.3 },
  { name: "135M", parameters: 135e6, computing: 1.3 },
  { name: "500M", parameters: 500e6, computing: 2.5 },
];

/** Where the tables lie in the page. */
export const MARKERS = { begin: "<!-- tables: begin -->", end: "<!-- tables: end -->" } as const;

/** The page with the tables of now between its markers. */
export function withTables(page: string): string {
  const { begin, end } = MARKERS;
  const [head, tail] = [page.indexOf(begin), page.indexOf(end)];
  if (head < 0 || tail < head) throw new Error(`the page has no ${begin} … ${end}`);
  return `${page.slice(0, head + begin.length)}\n\n${scalingTables()}\n\n${page.slice(tail)}`;
}

function scalingTables(): string {
  const nodes = NODES.map((n) => `N = ${n}`);
  const ofBoth = (cells: (model: Model, gigabits: number) => string[]): string[][] =>
    MODELS.flatMap((model) =>
      GIGABITS.map((gigabits) => [model.name, `${gigabits}G`, ...cells(model, gigabits)]),
    );
  return [
    "**Time of a sum** when the network is the limit. In parentheses halving and doubling, where it is 1.3 times faster or more.",
    table(["trained", "network", ...nodes, "N*"], ofBoth(sumCells)),
    "**Share of a step in which a node computes**, when sums run beside the backward pass.",
    table(["trained", "network", ...nodes], ofBoth(efficiencyCells)),
    `**Time of a sum over 64 nodes** when a GB costs ${MEASURED.ringCpuSecondsPerGB} s of processor, as measured, and K threads share that.`,
    table(
      ["trained", "network", ...THREADS.map((threads) => `K = ${threads}`), "network alone"],
      ofBoth(threadCells),
    ),
    "**DiLoCo over 8 nodes**, time of its sums for each step.",
    table(
      ["trained", "network", "every step, bf16", "every 50, bf16", "every 500, int8"],
      MODELS.slice(2).flatMap((model) => [0.1, 1].map((gigabits) => diloco(model, gigabits))),
    ),
  ].join("\n\n");
}

function sumCells({ parameters }: Model, gigabits: number): string[] {
  const [bytes, link] = [BF16 * parameters, network(gigabits)];
  const cells = NODES.map((nodes) => {
    const ring = ringSeconds(nodes, bytes, link);
    const other = halvingDoublingSeconds(nodes, bytes, link);
    return ring >= 1.3 * other ? `${timeText(ring)} (${timeText(other)})` : timeText(ring);
  });
  return [...cells, String(Math.max(1, Math.round(ringLimit(bytes, link))))];
}

function efficiencyCells({ parameters, computing }: Model, gigabits: number): string[] {
  return NODES.map((nodes) => {
    const summing = ringSeconds(nodes, BF16 * parameters, network(gigabits));
    return `${Math.round(100 * stepEfficiency(computing, summing))} %`;
  });
}

function threadCells({ parameters }: Model, gigabits: number): string[] {
  const cpuSecondsPerByte = MEASURED.ringCpuSecondsPerGB / 1e9;
  const links = THREADS.map((threads) => network(gigabits, { cpuSecondsPerByte, threads }));
  return [...links, network(gigabits)].map((link) =>
    timeText(ringSeconds(64, BF16 * parameters, link)),
  );
}

function diloco({ name, parameters }: Model, gigabits: number): string[] {
  const every = (steps: number, bytes: number): string =>
    timeText(dilocoSeconds(8, bytes * parameters, network(gigabits), steps));
  return [name, `${gigabits}G`, every(1, BF16), every(50, BF16), every(500, 1)];
}

function network(
  gigabits: number,
  processor: { readonly cpuSecondsPerByte?: number; readonly threads?: number } = {},
): Link {
  const lineBitsPerSecond = 1e9 * gigabits;
  return linkOf({
    ...{ lineBitsPerSecond, hopSeconds: HOP_SECONDS, chunkBytes: CHUNK_BYTES },
    ...processor,
  });
}

/** Two digits, and as many more as the unit wants. */
function timeText(seconds: number): string {
  const [value, unit] = seconds < 1 ? [1000 * seconds, "ms"] : [seconds, "s"];
  return `${value < 100 ? Number(value.toPrecision(2)) : Math.round(value)} ${unit}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
