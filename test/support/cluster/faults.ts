/** The faults of schedules: each does something to the world, and may mend it later. */
import type { NodeId } from "../../../cluster/membership/record.ts";
import type { Mishap, Weather } from "./network.ts";
import type { SimulatedNode } from "./simulated-node.ts";
import type { Simulation } from "./simulation.ts";

const BAD: Weather = { drop: 0.05, duplicate: 0.1, damage: 0.02, delay: 8, spike: 0.02 };
const LONG = 4000;
/** Nodes beyond which nobody joins. */
const CROWD = 7;

/** Faults at any time, by name; false where one did not come about. */
export const FAULTS: Readonly<Record<string, (world: Simulation) => boolean>> = {
  dies: (world) => kill(world, pick(world)),
  "leader dies": (world) => kill(world, leaderOf(world)),
  hangs: (world) => hang(world, pick(world)),
  "leader hangs": (world) => hang(world, leaderOf(world)),
  "is slow": (world) => slow(world, pick(world)),
  "is cut off": (world) => divide(world, [pick(world)?.id ?? ""]),
  "is divided": (world) => {
    const side = world.alive.filter(() => world.random.chance(0.5)).map(({ id }) => id);
    return divide(world, side);
  },
  "cannot reach another": (world) => {
    const [from, to] = [pick(world), pick(world)];
    return from !== undefined && to !== undefined && cut(world, [[from.id, to.id]]);
  },
  "bad weather": (world) => {
    world.network.weather = BAD;
    world.after(world.random.below(LONG), undefined, () => {
      world.network.weather = { ...BAD, drop: 0, damage: 0 };
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

/** The names of all faults at any time. */
export const FAULT_NAMES: readonly string[] = Object.keys(FAULTS);

/** Faults at a packet, by name: a mishap befalls it, or its sender, receiver or link; false where nothing came about. */
const AT_PACKET: Readonly<
  Record<string, Mishap | ((world: Simulation, from: NodeId, to: NodeId) => boolean)>
> = {
  dropped: "dropped",
  delayed: "delayed",
  duplicated: "duplicated",
  reordered: "reordered",
  truncated: "truncated",
  corrupt: "corrupt",
  "sender dies": (world, from) => kill(world, world.node(from)),
  "receiver dies": (world, _, to) => kill(world, world.node(to)),
  "sender hangs": (world, from) => hang(world, world.node(from)),
  "receiver hangs": (world, _, to) => hang(world, world.node(to)),
  "sender is slow": (world, from) => slow(world, world.node(from)),
  "link is cut": (world, from, to) =>
    cut(world, [
      [from, to],
      [to, from],
    ]),
  "sender is cut off": (world, from) => divide(world, [from]),
};

/** The names of all faults at a packet. */
export const PACKET_FAULT_NAMES: readonly string[] = Object.keys(AT_PACKET);

/** The planes of the protocol, and their phases; the ring's are a half and a hop. */
export const PHASES = {
  membership: [
    ...["status", "order", "redirect", "prepare", "pledge"],
    ...["accept a step", "accept an epoch", "accepted"],
  ],
  ring: ["reduce", "gather"],
  state: ["fetch", "state"],
} as const;

/** Phases that every step has. */
const PACKETS_A_STEP: ReadonlySet<string> = new Set([
  ...["status", "order", "accept a step", "accepted", "fetch", "state"],
]);

const PLANES = Object.keys(PHASES) as (keyof typeof PHASES)[];

/** Has a fault happen at one of the next packets of some phase; the listener hears of it when it does. */
export function laySnare(world: Simulation, onSprung: (name: string) => void): void {
  const { random, network } = world;
  const plane = random.pick(PLANES);
  const hops = Math.max(1, (world.latest?.members.length ?? 1) - 1);
  const kind = random.pick<string>(PHASES[plane]);
  const phase = plane === "ring" ? `${kind} ${random.below(hops)}` : kind;
  const name = random.pick(PACKET_FAULT_NAMES);
  const fault = AT_PACKET[name] as (typeof AT_PACKET)[string];
  const spring = (from: NodeId, to: NodeId): Mishap | undefined => {
    const isMishap = typeof fault === "string";
    if (!isMishap && !fault(world, from, to)) return undefined;
    world.trace(() => `${name} at ${phase} from ${from} to ${to}`);
    onSprung(`${name} at ${phase}`);
    return isMishap ? fault : undefined;
  };
  const isOften = PACKETS_A_STEP.has(phase) || plane === "ring";
  network.snares.add({ phase, left: 1 + random.below(isOften ? 12 : 3), spring });
  // states are fetched by those who come, who ask whomever they know; and leaders elected where one is gone
  if (plane === "state" || phase === "redirect" || phase === "accept an epoch") join(world, 1);
  if (phase === "prepare" || phase === "pledge") hang(world, leaderOf(world), 2000);
}

function pick(world: Simulation): SimulatedNode | undefined {
  const { alive } = world;
  return alive.length === 0 ? undefined : world.random.pick(alive);
}

function leaderOf(world: Simulation): SimulatedNode | undefined {
  return world.alive.find(({ isLeading }) => isLeading);
}

/** Nobody dies with whom a quorum would. */
function kill(world: Simulation, node: SimulatedNode | undefined): boolean {
  if (!node?.isAlive || world.alive.length < 3) return false;
  node.isAlive = false;
  const { isViable } = world;
  node.isAlive = true;
  if (isViable) node.die();
  return isViable;
}

function hang(world: Simulation, node: SimulatedNode | undefined, atLeast = 0): boolean {
  node?.hang();
  world.after(atLeast + world.random.below(LONG), undefined, () => node?.wake());
  return node !== undefined;
}

/** Behind with all that it sends, takes and computes: by much less than a deadline, or by more. */
function slow(world: Simulation, node: SimulatedNode | undefined): boolean {
  if (!node) return false;
  node.slowness = world.random.next() * world.random.next() * LONG;
  world.after(world.random.below(2 * LONG), undefined, () => node.wake());
  return true;
}

function divide(world: Simulation, side: readonly NodeId[]): boolean {
  const others = world.alive.map(({ id }) => id).filter((id) => !side.includes(id));
  const ways = side.flatMap((a) => others.flatMap((b) => [[a, b] as const, [b, a] as const]));
  return cut(world, ways);
}

function cut(world: Simulation, ways: readonly (readonly [NodeId, NodeId])[]): boolean {
  const { network, random } = world;
  const real = ways.filter(([from, to]) => from !== to);
  for (const [from, to] of real) network.cut(from, to, true);
  world.after(random.below(2 * LONG), undefined, () => {
    for (const [from, to] of real) network.cut(from, to, false);
  });
  return real.length > 0;
}

function join(world: Simulation, count: number): boolean {
  if (world.alive.length > CROWD) return false;
  for (let i = 0; i < count; i++) world.add();
  return true;
}
