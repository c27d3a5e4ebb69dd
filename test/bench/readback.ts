/**
 * How late a result reaches JavaScript: from the end of the last kernel, by the adapter's own timestamp, until the awaited
 * read returns; and how much of a core the waiting thread uses meanwhile.
 *
 * A software adapter stamps with the clock of `process.hrtime` (CLOCK_MONOTONIC), so the difference is the delay itself. The
 * clock of hardware is another one: there the delay is given relative to the shortest one seen, and says so.
 */
import { readFileSync } from "node:fs";
import { compile, type Device, parameter, type Tensor } from "../../engine/index.ts";
import { median, quantile } from "../../src/bench/measure.ts";
import { generator, uniform } from "../../src/bench/numbers.ts";
import { duration, table } from "../../src/bench/report.ts";
import type { Outcome } from "./outcome.ts";

/** Sizes of the product that is waited for: from nothing to do to tens of milliseconds on two cores. */
const SIZES = [16, 512, 1024];
const QUERY_RESOLVE = 0x0200;
const COPY_SRC = 0x0004;

/** What was found for one amount of work. */
interface Readback {
  readonly size: number;
  readonly workMs: number;
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly worstMs: number;
  /** Share of a core that the thread that waits uses; undefined where the system does not say. */
  readonly threadShare: number | undefined;
}

/** Measures readbacks of 4 bytes. */
export async function benchReadback(
  device: Device,
  { rounds }: { readonly rounds: number },
): Promise<Outcome> {
  const rows: Readback[] = [];
  for (const size of SIZES) rows.push(await measureSize(device, size, 20 * rounds));
  const cells = rows.map((r) => [
    `${r.size}³ product`,
    duration(r.workMs),
    duration(r.medianMs),
    duration(r.p90Ms),
    duration(r.worstMs),
    r.threadShare === undefined ? "" : `${Math.round(100 * r.threadShare)} % of a core`,
  ]);
  const header = ["after", "call", "median delay", "90 %", "worst", "waiting thread"];
  const how = device.isSoftware
    ? "The delay runs from the adapter's timestamp at the end of the last kernel to the return of the awaited read of 4 B."
    : "The adapter's clock is its own: delays are relative to the shortest one.";
  return {
    title: "readback",
    text: `${table([header, ...cells])}\n\n${how}`,
    data: rows,
    targets: [
      {
        what: "delay of a readback, the largest median",
        measured: Math.max(...rows.map((r) => r.medianMs)),
        bar: 0.5,
        unit: "ms",
        isAtLeast: false,
      },
    ],
  };
}

async function measureSize(device: Device, size: number, samples: number): Promise<Readback> {
  const numbers = uniform(size * size, generator(3));
  const a = parameter([size, size], numbers, "a");
  const total = compile((): Tensor => a.matmul(a).sum(), { device, label: `readback ${size}` });
  const plan = await total.plan();
  const result = await total();
  const expected = (await result.read())[0];
  const querySet = device.gpu.createQuerySet({ type: "timestamp", count: 1 });
  const usage = QUERY_RESOLVE | COPY_SRC;
  const resolved = device.createBuffer({ label: "timestamp", sizeBytes: 8, usage });
  const delays: number[] = [];
  const calls: number[] = [];
  let busy = 0;
  for (let i = 0; i < samples; i++) {
    const encoder = device.gpu.createCommandEncoder({ label: "readback" });
    const timestampWrites = { querySet, endOfPassWriteIndex: 0 };
    const pass = encoder.beginComputePass({ timestampWrites });
    for (const { pipeline, group, call } of plan.steps) {
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...call.grid);
    }
    pass.end();
    const before = threadNanoseconds();
    const begin = process.hrtime.bigint();
    device.submit("readback", encoder.finish());
    const [value] = await result.read();
    const seen = process.hrtime.bigint();
    busy += threadNanoseconds() - before;
    if (value !== expected) throw new Error(`a readback gave ${value}, not ${expected}`);
    const end = await readTimestamp(device, querySet, resolved);
    delays.push(Number(seen - end) / 1e6);
    calls.push(Number(seen - begin) / 1e6);
  }
  querySet.destroy();
  device.destroyBuffer(resolved);
  const zero = device.isSoftware ? 0 : Math.min(...delays);
  const share = busy / 1e6 / calls.reduce((x, y) => x + y, 0);
  return {
    size,
    workMs: median(calls),
    medianMs: median(delays) - zero,
    p90Ms: quantile(delays, 0.9) - zero,
    worstMs: Math.max(...delays) - zero,
    threadShare: Number.isNaN(share) ? undefined : share,
  };
}

async function readTimestamp(
  device: Device,
  querySet: GPUQuerySet,
  resolved: GPUBuffer,
): Promise<bigint> {
  const encoder = device.gpu.createCommandEncoder({ label: "timestamp" });
  encoder.resolveQuerySet(querySet, 0, 1, resolved, 0);
  const staging = device.takeStaging(8);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8);
  device.submit("timestamp", encoder.finish());
  const [time] = await device.readMapped(staging, 8, (bytes) => [
    new BigUint64Array(bytes.slice(0, 8))[0] ?? 0n,
  ]);
  device.returnStaging(staging);
  return time ?? 0n;
}

/** Time that this thread has run, NaN where the system does not say. The main thread's number is the process's. */
function threadNanoseconds(): number {
  try {
    const text = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8");
    return Number(text.split(" ")[0]);
  } catch {
    return Number.NaN;
  }
}
