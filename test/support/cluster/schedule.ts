/** What goes wrong in a simulated cluster, drawn from a seed: faults at any time, and faults at a phase that was chosen. */
import { FAULT_NAMES, FAULTS, laySnare } from "./faults.ts";
import { Simulation } from "./simulation.ts";

/** What came of a schedule. */
export interface Outcome {
  /** Kinds of faults that happened, those at a phase with the phase. */
  readonly faults: ReadonlySet<string>;
  /** Whether enough were left to go on, and so had to. */
  readonly isViable: boolean;
  /** Steps that were committed meanwhile, and after all was mended. */
  readonly steps: number;
  readonly stepsAfter: number;
  /** Whether all who were left were members again. */
  readonly isWhole: boolean;
}

/** Steps that a cluster must make after all was mended, and milliseconds that it has for them. */
const STEPS_AFTER = 5;
const TIME_AFTER = 15_000;

/** Lives through a history, and mends all in the end. Throws at what must never be. */
export function runSchedule(seed: number, onTrace?: (text: string) => void): Outcome {
  const world = new Simulation(seed, { minWorld: 1 + (seed % 2), lostAfter: 1500, ban: 4000 });
  world.onTrace = onTrace;
  const { random } = world;
  const count = 2 + random.below(4);
  for (let i = 0; i < count; i++) {
    world.add();
    world.run(random.below(300));
  }
  world.run(1000);
  const faults = new Set<string>();
  const times = 1 + random.below(6);
  for (let i = 0; i < times; i++) {
    if (random.chance(0.5)) laySnare(world, (name) => faults.add(name));
    else {
      const name = random.pick(FAULT_NAMES);
      world.trace(() => name);
      if (FAULTS[name]?.(world)) faults.add(name);
    }
    // often at once, and at any moment of a step
    world.run(random.chance(0.5) ? random.next() * 60 : random.next() * 3000);
  }
  const steps = world.latest?.step ?? 0;
  world.trace(() => "all is mended");
  world.heal();
  const after = (): number => (world.latest?.step ?? 0) - steps;
  for (let ms = 0; ms < TIME_AFTER; ms += 500) {
    world.run(500);
    if (after() >= STEPS_AFTER && world.isWhole) break;
  }
  const { isViable, isWhole } = world;
  return { faults, isViable, steps, stepsAfter: after(), isWhole };
}

/** What came of many schedules. */
export interface Outcomes {
  /** How often each kind of fault happened. */
  readonly faults: Map<string, number>;
  /** Those in which enough were left to go on. */
  viable: number;
  /** Seeds of those that had to go on, and did not. */
  readonly stuck: number[];
}

/** Runs the schedules of some seeds, and adds up what came of them. Throws, naming the seed, at what must never be. */
export function runSchedules(
  from: number,
  count: number,
  sum: Outcomes = { faults: new Map(), viable: 0, stuck: [] },
): Outcomes {
  for (let seed = from; seed < from + count; seed++) {
    const { faults, isViable, stepsAfter, isWhole } = named(seed);
    for (const name of faults) sum.faults.set(name, (sum.faults.get(name) ?? 0) + 1);
    if (!isViable) continue;
    sum.viable++;
    if (stepsAfter < STEPS_AFTER || !isWhole) sum.stuck.push(seed);
  }
  return sum;
}

function named(seed: number): Outcome {
  try {
    return runSchedule(seed);
  } catch (cause) {
    throw new Error(`npx tsx test/support/cluster/replay.ts ${seed}: ${cause}`, { cause });
  }
}
