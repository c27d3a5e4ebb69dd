/** What goes wrong in a simulated cluster, drawn from a seed. */
import type { NodeId } from "../../../cluster/membership/record.ts";
import { type SimulatedNode, Simulation, type Weather } from "./simulation.ts";

/** What came of a schedule. */
export interface Outcome {
  /** Kinds of faults that happened. */
  readonly faults: ReadonlySet<string>;
  /** Whether enough were left to go on, and so had to. */
  readonly isViable: boolean;
  /** Steps that were committed meanwhile, and after all was mended. */
  readonly steps: number;
  readonly stepsAfter: number;
  readonly members: number;
}

const BAD: Weather = { drop: 0.05, duplicate: 0.1, delay: 8, spike: 0.02 };
const LONG = 4000;

/** Faults by name: each does something to the world, and may mend it later. */
const FAULTS: Readonly<Record<string, (world: Simulation) => boolean>> = {
  dies: (world) => kill(world, pick(world)),
  "leader dies": (world) =>
    kill(
      world,
      world.alive.find(({ isLeading }) => isLeading),
    ),
  hangs: (world) => hang(world, pick(world)),
  "leader hangs": (world) =>
    hang(
      world,
      world.alive.find(({ isLeading }) => isLeading),
    ),
  "is cut off": (world) => divide(world, [pick(world)?.id ?? ""]),
  "is divided": (world) => {
    const side = world.alive.filter(() => world.random.chance(0.5)).map(({ id }) => id);
    return divide(world, side);
  },
  "cannot reach its successor": (world) => {
    const [from, to] = [pick(world), pick(world)];
    if (!from || !to || from === to) return false;
    world.cut(from.id, to.id, true);
    world.after(world.random.below(LONG), undefined, () => world.cut(from.id, to.id, false));
    return true;
  },
  "bad weather": (world) => {
    world.weather = BAD;
    world.after(world.random.below(LONG), undefined, () => {
      world.weather = { ...BAD, drop: 0 };
    });
    return true;
  },
  joins: (world) => join(world, 1),
  "a storm of joins": (world) => join(world, 3),
  leaves: (world) => {
    const node = pick(world);
    if (!node || world.alive.length < 3) return false;
    node.leave();
    return true;
  },
};

/** The names of all faults. */
export const FAULT_NAMES: readonly string[] = Object.keys(FAULTS);

/** Lives through a history, and mends all in the end. Throws at what must never be. */
export function runSchedule(seed: number): Outcome {
  const world = new Simulation(seed, { minWorld: 1 + (seed % 2), lostAfter: 1500, ban: 4000 });
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
    const name = random.pick(FAULT_NAMES);
    if (FAULTS[name]?.(world)) faults.add(name);
    // often at once, and at any moment of a step
    world.run(random.chance(0.5) ? random.next() * 60 : random.next() * 3000);
  }
  const steps = world.latest?.step ?? 0;
  world.heal();
  world.run(12_000);
  const { isViable } = world;
  const stepsAfter = (world.latest?.step ?? 0) - steps;
  return { faults, isViable, steps, stepsAfter, members: world.latest?.members.length ?? 0 };
}

function pick(world: Simulation): SimulatedNode | undefined {
  const { alive } = world;
  return alive.length === 0 ? undefined : world.random.pick(alive);
}

/** Nobody dies with whom a quorum would. */
function kill(world: Simulation, node: SimulatedNode | undefined): boolean {
  if (!node || world.alive.length < 3) return false;
  node.isAlive = false;
  const { isViable } = world;
  node.isAlive = true;
  if (isViable) node.die();
  return isViable;
}

function hang(world: Simulation, node: SimulatedNode | undefined): boolean {
  node?.hang();
  world.after(world.random.below(LONG), undefined, () => node?.wake());
  return node !== undefined;
}

function divide(world: Simulation, side: readonly NodeId[]): boolean {
  const others = world.alive.map(({ id }) => id).filter((id) => !side.includes(id));
  const ways = side.flatMap((a) => others.flatMap((b) => [[a, b] as const, [b, a] as const]));
  for (const [from, to] of ways) world.cut(from, to, true);
  world.after(world.random.below(2 * LONG), undefined, () => {
    for (const [from, to] of ways) world.cut(from, to, false);
  });
  return ways.length > 0;
}

function join(world: Simulation, count: number): boolean {
  if (world.alive.length > 7) return false;
  for (let i = 0; i < count; i++) world.add();
  return true;
}

/** What came of many schedules. */
export interface Outcomes {
  /** How often each kind of fault happened. */
  readonly faults: ReadonlyMap<string, number>;
  /** Those in which enough were left to go on. */
  readonly viable: number;
  /** Seeds of those that had to go on, and did not. */
  readonly stuck: readonly number[];
}

/** Runs the schedules of some seeds. Throws, naming the seed, at what must never be. */
export function runSchedules(from: number, count: number): Outcomes {
  const faults = new Map<string, number>();
  const stuck: number[] = [];
  let viable = 0;
  for (let seed = from; seed < from + count; seed++) {
    const outcome = named(seed);
    for (const name of outcome.faults) faults.set(name, (faults.get(name) ?? 0) + 1);
    if (!outcome.isViable) continue;
    viable++;
    if (outcome.stepsAfter < 5) stuck.push(seed);
  }
  return { faults, viable, stuck };
}

function named(seed: number): Outcome {
  try {
    return runSchedule(seed);
  } catch (cause) {
    throw new Error(`schedule ${seed}: ${cause}`, { cause });
  }
}
