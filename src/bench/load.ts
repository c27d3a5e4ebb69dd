/**
 * Who uses the processor while something is measured: this process, and everything else on the machine.
 */
import { readFileSync } from "node:fs";

/** Cores in use on average over a span of time. */
export interface Load {
  /** Of this process, all threads: a software adapter computes in them. */
  readonly ownCores: number;
  /** Of everything else; undefined where the system does not say (it does on Linux). */
  readonly foreignCores: number | undefined;
}

/** Foreign load under which a measurement counts as undisturbed, in cores. */
export const CLEAN_CORES = 0.15;

/** The start of a span. */
export interface LoadMark {
  readonly atMs: number;
  readonly ownSeconds: number;
  readonly busySeconds: number | undefined;
}

/** Linux counts in hundredths of a second whatever the kernel's tick is. */
const TICKS_PER_SECOND = 100;

/** Begins a span. */
export function markLoad(): LoadMark {
  const { user, system } = process.cpuUsage();
  return {
    atMs: performance.now(),
    ownSeconds: (user + system) / 1e6,
    busySeconds: machineBusySeconds(),
  };
}

/** The load since `mark`. */
export function loadSince(mark: LoadMark): Load {
  const now = markLoad();
  const seconds = Math.max(1e-3, (now.atMs - mark.atMs) / 1000);
  const ownCores = (now.ownSeconds - mark.ownSeconds) / seconds;
  if (now.busySeconds === undefined || mark.busySeconds === undefined) {
    return { ownCores, foreignCores: undefined };
  }
  const allCores = (now.busySeconds - mark.busySeconds) / seconds;
  return { ownCores, foreignCores: Math.max(0, allCores - ownCores) };
}

/** Whether a span was undisturbed, as far as the system says. */
export function isClean(load: Load): boolean {
  return load.foreignCores === undefined || load.foreignCores < CLEAN_CORES;
}

/** Waits until the machine is quiet, at most `patienceMs`. */
export async function waitForQuiet(patienceMs: number): Promise<void> {
  const end = performance.now() + patienceMs;
  while (performance.now() < end) {
    const mark = markLoad();
    await new Promise((resolve) => setTimeout(resolve, Math.min(120, patienceMs)));
    if (isClean(loadSince(mark))) return;
  }
}

/** Seconds that all cores together have been busy (stolen time included) since the machine started. */
function machineBusySeconds(): number | undefined {
  let text: string;
  try {
    text = readFileSync("/proc/stat", "utf8");
  } catch {
    return undefined; // not Linux
  }
  const ticks = (text.split("\n")[0] ?? "").trim().split(/\s+/).slice(1, 9).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}
