/** Where the time of a plan goes, kernel by kernel. */
import type { Plan, ProfiledKernel } from "../../engine/index.ts";
import { median } from "./measure.ts";
import { digits, duration, table } from "./report.ts";

/** All dispatches of one kernel over one grid. */
export interface KernelGroup {
  readonly label: string;
  readonly grid: readonly number[];
  readonly count: number;
  /** Of all of them together. */
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
}

/** Profiles a plan: median of `runs` runs for each dispatch, summed over equal ones, the slowest first. */
export async function profileKernels(plan: Plan, runs = 5): Promise<KernelGroup[]> {
  await plan.profile(); // warm-up
  const profiles: ProfiledKernel[][] = [];
  for (let run = 0; run < runs; run++) profiles.push(await plan.profile());
  const groups = new Map<string, KernelGroup>();
  for (const [i, { label, grid, flops, bytes }] of (profiles[0] ?? []).entries()) {
    const key = `${label} ${grid}`;
    const ms = median(profiles.map((p) => p[i]?.ms ?? Number.NaN));
    const group = groups.get(key) ?? { label, grid, count: 0, ms: 0, flops: 0, bytes: 0 };
    groups.set(key, {
      ...group,
      count: group.count + 1,
      ms: group.ms + ms,
      flops: group.flops + flops,
      bytes: group.bytes + bytes,
    });
  }
  return [...groups.values()].sort((a, b) => b.ms - a.ms);
}

const NOTE =
  "Operations and bytes are those that the plan can know: attention counts as if the batch were one chain, and operands count once.";

/** The groups as a Markdown table, with their sum. */
export function profileText(groups: readonly KernelGroup[]): string {
  const total = groups.reduce((sum, g) => sum + g.ms, 0);
  const rows = groups.map(({ label, grid, count, ms, flops, bytes }) => [
    label,
    grid.join("×"),
    String(count),
    duration(ms),
    `${digits((100 * ms) / total)} %`,
    flops > 0 ? digits(flops / ms / 1e6) : "",
    digits(bytes / ms / 1e6),
  ]);
  const header = ["kernel", "workgroups", "count", "time", "share", "GFLOP/s", "GB/s"];
  const count = groups.reduce((sum, g) => sum + g.count, 0);
  const totals = ["total", "", String(count), duration(total), "", "", ""];
  return `${table([header, ...rows, totals])}\n\n${NOTE}`;
}
