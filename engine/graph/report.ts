/**
 * What a plan says about itself: kernels, FLOPs, bytes, memory, and the time of each kernel.
 */
import { ForgeError } from "../error.ts";
import { BufferUsage } from "../gpu/constants.ts";
import type { Device } from "../gpu/device.ts";
import type { Pipeline } from "../gpu/pipeline.ts";
import type { KernelCall, Program } from "./kernel.ts";
import { type MemoryPlan, planBytes } from "./memory.ts";

/** A dispatch that is ready to be recorded. */
export interface Step {
  readonly call: KernelCall;
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
}

/** What a report is made from. */
export interface Reportable {
  readonly label: string;
  readonly device: Device;
  readonly program: Program;
  readonly memory: MemoryPlan;
  readonly steps: readonly Step[];
}

/** One kernel of a plan. */
export interface ReportedKernel {
  readonly label: string;
  readonly grid: readonly [number, number, number];
  /** Floating-point operations, as counted by the op (multiply and add are two). */
  readonly flops: number;
  /** Bytes bound: each operand once. An upper bound on what must move. */
  readonly bytes: number;
}

/** A kernel with its measured time. */
export interface ProfiledKernel extends ReportedKernel {
  /** Milliseconds by timestamp query. */
  readonly ms: number;
}

/** A plan's report. */
export interface PlanReport {
  readonly label: string;
  readonly kernels: readonly ReportedKernel[];
  /** Number of distinct shader texts. */
  readonly texts: number;
  readonly flops: number;
  readonly bytes: number;
  /** Memory for intermediate values, states, and inputs, outputs and constants. */
  readonly memory: { readonly temporary: number; readonly state: number; readonly other: number };
  toString(): string;
}

function kernelOf(call: KernelCall): ReportedKernel {
  const bytes = call.bindings.reduce((n, slot) => n + slot.sizeBytes, 0);
  return { label: call.label, grid: call.grid, flops: call.flops ?? 0, bytes };
}

/** Describes a plan without running it. */
export function describePlan(plan: Reportable): PlanReport {
  const kernels = plan.program.calls.map(kernelOf);
  const memory = planBytes(plan.program, plan.memory);
  const flops = kernels.reduce((n, k) => n + k.flops, 0);
  const bytes = kernels.reduce((n, k) => n + k.bytes, 0);
  const texts = new Set(plan.steps.map((s) => s.pipeline)).size;
  const report = { label: plan.label, kernels, texts, flops, bytes, memory };
  return { ...report, toString: () => formatReport(report) };
}

function formatReport(report: Omit<PlanReport, "toString">): string {
  const groups = new Map<string, { count: number; flops: number; bytes: number }>();
  for (const k of report.kernels) {
    const group = groups.get(k.label) ?? { count: 0, flops: 0, bytes: 0 };
    groups.set(k.label, {
      count: group.count + 1,
      flops: group.flops + k.flops,
      bytes: group.bytes + k.bytes,
    });
  }
  const rows = [...groups].sort((a, b) => b[1].flops - a[1].flops || b[1].bytes - a[1].bytes);
  const width = Math.max(8, ...rows.map(([label]) => label.length));
  const { temporary, state, other } = report.memory;
  return [
    `plan "${report.label}": ${report.kernels.length} kernels (${report.texts} texts), ${giga(report.flops)} GFLOP, ` +
      `${mebi(report.bytes)} MiB bound; memory ${mebi(temporary)} MiB temporary, ${mebi(state)} MiB state, ${mebi(other)} MiB other`,
    ...rows.map(
      ([label, g]) =>
        `  ${label.padEnd(width)} ×${String(g.count).padStart(3)} ${giga(g.flops).padStart(9)} GFLOP ${mebi(g.bytes).padStart(9)} MiB`,
    ),
  ].join("\n");
}

function giga(n: number): string {
  return (n / 1e9).toFixed(3);
}

function mebi(n: number): string {
  return (n / 2 ** 20).toFixed(2);
}

/**
 * Runs a plan once with a pass and two timestamps for each kernel.
 *
 * Inputs keep the values of the last call; states change as in a call. Errors: `validation` without timestamps.
 */
export async function profilePlan(plan: Reportable): Promise<ProfiledKernel[]> {
  const { device } = plan;
  if (!device.hasTimestamps) {
    throw new ForgeError({
      code: "validation",
      what: "profile: this device takes no timestamps.",
      fix: "use an adapter with the timestamp-query feature",
    });
  }
  const BATCH = 1024; // a query set holds at most 4096 queries
  const profiled: ProfiledKernel[] = [];
  for (let start = 0; start < plan.steps.length; start += BATCH) {
    const steps = plan.steps.slice(start, start + BATCH);
    const querySet = device.gpu.createQuerySet({ type: "timestamp", count: 2 * steps.length });
    const resolved = device.createBuffer({
      label: "timestamps",
      sizeBytes: 16 * steps.length,
      usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC,
    });
    const encoder = device.gpu.createCommandEncoder({ label: `profile ${plan.label}` });
    steps.forEach((step, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        },
      });
      pass.setPipeline(step.pipeline.gpu);
      pass.setBindGroup(0, step.group);
      pass.dispatchWorkgroups(...step.call.grid);
      pass.end();
    });
    const staging = device.takeStaging(16 * steps.length);
    encoder.resolveQuerySet(querySet, 0, 2 * steps.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16 * steps.length);
    device.submit(`profile ${plan.label}`, encoder.finish());
    const times = await device.readMapped(
      staging,
      16 * steps.length,
      (b) => new BigUint64Array(b.slice(0)),
    );
    device.returnStaging(staging);
    device.destroyBuffer(resolved);
    querySet.destroy();
    steps.forEach((step, i) => {
      const ms = Number((times[2 * i + 1] ?? 0n) - (times[2 * i] ?? 0n)) / 1e6;
      profiled.push({ ...kernelOf(step.call), ms });
    });
  }
  return profiled;
}
