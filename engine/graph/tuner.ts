/**
 * The tuner: verifies kernels against the plain one on this adapter, and times those that agree.
 *
 * Lowering is synchronous and asks the device's table (`engine/gpu/tuning.ts`), which notes what it cannot answer; whoever
 * lowers then calls {@link settle}, and lowers again when that changes an answer.
 */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import type { Arena, Candidate, Contest, OpenContest } from "../gpu/tuning.ts";
import { Trial } from "./trial.ts";

/** Most candidates that are timed for one class, the best estimates first. */
const MOST_TIMED = 4;
/** Rounds in which the candidates take turns; the median counts. */
const ROUNDS = 5;
/** A candidate's share (ms) of a round: five of them are 25 ms, long enough for clocks to settle and jitter to drown. */
const ROUND_MS = 5;
/** Most dispatches of one submission: more would take longer to record than to run. */
const MOST_REPEATS = 500;
/** A candidate this many times slower than the best at its first run is not timed further. */
const HOPELESS = 3;

/** Work in progress on each device: one settlement at a time, so that no timing disturbs another. */
const queues = new WeakMap<Device, Promise<unknown>>();

/**
 * Settles every contest that lowering left open on this device. Returns whether a contest now has another answer than
 * lowering went on with: then lower again.
 *
 * Errors    `device_lost`. A kernel that is wrong or does not compile is rejected instead (`device.tuning.report()`).
 */
export async function settle(device: Device): Promise<boolean> {
  const { tuning } = device;
  const open = tuning.takeOpen();
  if (open.length === 0) return false;
  const settled = (queues.get(device) ?? Promise.resolve()).then(async () => {
    const before = tuning.export();
    for (const contest of open) await settleContest(device, contest);
    if (tuning.export() !== before) tuning.onChange?.();
  });
  queues.set(
    device,
    settled.catch(() => undefined),
  );
  await settled;
  return open.some(({ contest, given }) => tuning.choose(contest) !== given);
}

async function settleContest(
  device: Device,
  { contest, given, isUndecided }: OpenContest,
): Promise<void> {
  // Another plan may have decided the contest while this one waited for its turn.
  if (!isUndecided || device.tuning.isDecided(contest)) {
    await verify(device, given);
    return;
  }
  const fit: Candidate[] = [];
  for (const candidate of contest.candidates) {
    if (fit.length < MOST_TIMED && (await verify(device, candidate))) fit.push(candidate);
  }
  await time(device, contest, fit);
}

/** Whether a candidate agrees with the plain kernel on its own small arena; the verdict is kept. */
async function verify(device: Device, candidate: Candidate): Promise<boolean> {
  const { tuning } = device;
  if (tuning.isTrusted(candidate)) return true;
  if (tuning.isRejected(candidate)) return false;
  const arena = candidate.arena();
  using trial = await Trial.make(device, `verify ${candidate.id}`, arena.buffers);
  await (await trial.prepare(arena.plainSteps))(1);
  if (!(await admitted(device, trial, arena, candidate))) return false;
  tuning.accept(candidate);
  return true;
}

type Run = (repeat: number) => Promise<number>;

/**
 * Runs a candidate on an arena where the plain kernel has run before, and compares: how to run it, or undefined where it
 * disagrees or does not compile, and is rejected.
 */
async function admitted(
  device: Device,
  trial: Trial,
  arena: Arena,
  candidate: Candidate,
): Promise<Run | undefined> {
  const { actual, expected, count } = arena;
  try {
    const run = await trial.prepare(arena.steps(candidate));
    trial.poison(actual.buffer);
    await run(1);
    const results = await trial.read(actual.buffer, actual.from, count);
    const wanted = await trial.read(expected.buffer, expected.from, count);
    checkClose(candidate, results, wanted, arena.tolerance(candidate));
    return run;
  } catch (error) {
    const isVerdict = error instanceof ForgeError && VERDICTS.has(error.code);
    if (!isVerdict) throw error;
    device.tuning.reject(candidate, error);
    return undefined;
  }
}

/** Errors that speak against a kernel, not against the device. */
const VERDICTS: ReadonlySet<string> = new Set(["autotune_mismatch", "shader_invalid"]);

function checkClose(
  candidate: Candidate,
  actual: Float32Array,
  expected: Float32Array,
  tolerance: number,
): void {
  const isClose = (x: number, y: number): boolean =>
    Math.abs(x - y) <= tolerance || (Number.isNaN(x) && Number.isNaN(y));
  const wrong = [...actual.keys()].filter((i) => !isClose(actual[i] ?? 0, expected[i] ?? 0));
  const [first] = wrong;
  if (first === undefined) return;
  throw new ForgeError({
    code: "autotune_mismatch",
    what: `kernel "${candidate.id}" disagrees with the plain kernel on this adapter, and is not used.`,
    got: `${wrong.length} of ${actual.length} elements; [${first}] is ${actual[first]} instead of ${expected[first]}`,
    why: `they may differ by ${tolerance}`,
    fix: "report this with the output of `forge-gpu doctor --json`; results come from another kernel meanwhile",
  });
}

/** Times the candidates of a class that agree with the plain kernel on data of that class too; the table keeps the best. */
async function time(device: Device, contest: Contest, fit: readonly Candidate[]): Promise<void> {
  const { tuning } = device;
  const [first] = fit;
  if (!first) return;
  if (fit.length === 1) {
    tuning.decide(contest.key, { variant: first.name, ms: {} });
    return;
  }
  try {
    const [best, ...others] = await race(device, contest, fit);
    if (!best) return;
    const ms = Object.fromEntries([best, ...others].map((r) => [r.name, r.ms]));
    tuning.decide(contest.key, { variant: best.name, ms });
  } catch (error) {
    if (!(error instanceof ForgeError) || error.code !== "out_of_memory") throw error;
    tuning.decide(contest.key, { variant: first.name, ms: {} });
  }
}

/** The candidates by median time, the fastest first; behind them those that were too slow to be timed again. */
async function race(
  device: Device,
  contest: Contest,
  fit: readonly Candidate[],
): Promise<{ name: string; ms: number }[]> {
  const arena = contest.arena();
  using trial = await Trial.make(device, `tune ${contest.key}`, arena.buffers);
  await (await trial.prepare(arena.plainSteps))(1);
  const racers: { name: string; run: Run; perRun: number; times: number[] }[] = [];
  for (const candidate of fit) {
    const run = await admitted(device, trial, arena, candidate);
    if (!run) continue;
    const single = await run(1);
    const repeat = repeats(single);
    const perRun = repeat === 1 ? single : (await run(repeat)) / repeat;
    racers.push({ name: candidate.name, run, perRun, times: [] });
  }
  const bound = HOPELESS * Math.min(...racers.map((r) => r.perRun));
  const hopeful = racers.filter((r) => r.perRun <= bound);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { run, perRun, times } of hopeful) {
      const repeat = repeats(perRun);
      times.push((await run(repeat)) / repeat);
    }
  }
  const hopeless = racers.filter((r) => r.perRun > bound);
  return [
    ...hopeful.map(({ name, times }) => ({ name, ms: median(times) })).sort((x, y) => x.ms - y.ms),
    ...hopeless.map(({ name, perRun }) => ({ name, ms: perRun })),
  ];
}

/** Runs that fill a candidate's share of a round. */
function repeats(ms: number): number {
  return Math.min(MOST_REPEATS, Math.max(1, Math.round(ROUND_MS / ms)));
}

function median(values: readonly number[]): number {
  return [...values].sort((x, y) => x - y)[values.length >> 1] ?? Number.POSITIVE_INFINITY;
}
