import { describe, expect, it } from "vitest";
import { FAULT_NAMES, PACKET_FAULT_NAMES, PHASES } from "../../support/cluster/faults.ts";
import { runSchedules } from "../../support/cluster/schedule.ts";
import { Simulation } from "../../support/cluster/simulation.ts";

describe("a cluster that nothing befalls", () => {
  it("grows to all who come, and each step has the hash that all have", () => {
    const world = new Simulation(1);
    world.add();
    world.run(1000);
    expect(world.latest?.members).toEqual(["n0"]);
    for (let i = 0; i < 3; i++) world.add();
    world.run(5000);
    const { step = 0, epoch, members } = world.latest ?? {};
    expect(members).toEqual(["n0", "n1", "n2", "n3"]);
    // together, where they came together: each epoch costs a step its time
    expect(epoch).toBeLessThanOrEqual(5);
    expect(step).toBeGreaterThan(15);
    expect(new Set(world.nodes.map((node) => node.step)).size).toBeLessThanOrEqual(2);
  });

  it("waits for as many as a step needs, and lets in no more than it may", () => {
    const world = new Simulation(2, { minWorld: 3, maxWorld: 4 });
    world.add();
    world.add();
    world.run(5000);
    expect(world.latest?.step).toBe(0);
    for (let i = 0; i < 4; i++) world.add();
    world.run(5000);
    expect(world.latest?.members).toHaveLength(4);
    expect(world.latest?.step).toBeGreaterThan(5);
  });

  it("goes on without those who leave, the leader too, and is over when all have left", () => {
    const world = new Simulation(3);
    for (let i = 0; i < 3; i++) world.add();
    world.run(3000);
    world.nodes.find(({ isLeading }) => isLeading)?.leave();
    world.run(5000);
    expect(world.alive).toHaveLength(2);
    expect(world.latest?.members).toHaveLength(2);
    const { step = 0 } = world.latest ?? {};
    for (const node of world.alive) node.leave();
    world.run(5000);
    expect(world.alive).toEqual([]);
    expect(world.latest).toMatchObject({ members: [] });
    expect(world.latest?.step).toBeGreaterThanOrEqual(step);
  });
});

describe("a cluster that is divided", () => {
  const divided = (size: number, away: readonly number[]): Simulation => {
    const world = new Simulation(size);
    for (let i = 0; i < size; i++) world.add();
    world.run(4000);
    for (const a of world.nodes)
      for (const b of world.nodes)
        if (away.includes(world.nodes.indexOf(a)) !== away.includes(world.nodes.indexOf(b)))
          world.network.cut(a.id, b.id, true);
    return world;
  };

  it("goes on where more than half are, and nowhere else", () => {
    const world = divided(5, [0, 1]);
    const { step = 0 } = world.latest ?? {};
    world.run(10_000);
    expect(world.latest?.members).toEqual(["n2", "n3", "n4"]);
    expect(world.latest?.step).toBeGreaterThan(step + 5);
    for (const node of world.nodes.slice(0, 2)) expect(node.step).toBeLessThanOrEqual(step + 1);
    world.heal();
    world.run(10_000);
    expect(world.latest?.members).toHaveLength(5);
  });

  it("goes on with one half of an even number: that of the first", () => {
    const world = divided(4, [2, 3]);
    const { step = 0 } = world.latest ?? {};
    world.run(10_000);
    expect(world.latest?.members).toEqual(["n0", "n1"]);
    expect(world.latest?.step).toBeGreaterThan(step + 5);
  });
});

describe("a link that is broken for good", () => {
  // whoever notices first may be further down the ring than the link, and then blames who is not to blame
  it("costs some attempts, and the others go on without one of its ends", () => {
    const world = new Simulation(4);
    for (let i = 0; i < 4; i++) world.add();
    world.run(4000);
    const [from, to] = world.nodes.filter(({ isLeading }) => !isLeading);
    const { step = 0 } = world.latest ?? {};
    world.network.cut(from?.id ?? "", to?.id ?? "", true);
    world.run(25_000);
    expect(world.latest?.step).toBeGreaterThan(step + 10);
    const ends = [from?.id ?? "", to?.id ?? ""];
    expect(ends.every((end) => world.latest?.members.includes(end))).toBe(false);
  });
});

describe("a leader", () => {
  it.each([11, 12, 13, 14, 15, 16])("that is cut off is not waited for twice: seed %i", (seed) => {
    const world = new Simulation(seed);
    for (let i = 0; i < 4; i++) world.add();
    world.run(4000);
    const leader = world.nodes.find(({ isLeading }) => isLeading);
    for (const { id } of world.nodes) world.network.cut(leader?.id ?? "", id, true);
    let ms = 0;
    for (; world.latest?.members.length !== 3 && ms < 20_000; ms += 50) world.run(50);
    // who silently goes is found out after three beats, and its silence counts for whoever leads next
    expect(ms).toBeLessThan(3_000);
  });

  it("that hangs with the only vote for a step finds those who have moved it, whoever led meanwhile", () => {
    const world = new Simulation(5);
    for (let i = 0; i < 4; i++) world.add();
    world.run(4000);
    const { network } = world;
    const first = world.nodes.find(({ isLeading }) => isLeading)?.id ?? "";
    const spring = (phase: string, act: (from: string) => void): void =>
      void network.snares.add({ phase, left: 1, spring: (from) => void act(from) });
    spring("accept a step", () => {
      for (const { id } of world.nodes) network.cut(first, id, true);
      world.node(first)?.hang();
    });
    // the next leader says to all that the step is over, and dies before anything is chosen
    let second = "";
    const onOrder = (from: string): void => {
      if (from === first) {
        spring("order", onOrder);
        return;
      }
      second = from;
      world.after(1, undefined, () => {
        world.node(second)?.die();
        world.heal();
      });
    };
    spring("order", onOrder);
    world.run(10_000);
    expect(second).not.toBe("");
    const { step = 0 } = world.latest ?? {};
    world.run(5000);
    expect(world.latest?.step).toBeGreaterThan(step + 3);
    expect(world.latest?.members).toHaveLength(3);
  });

  it("that leaves says so until the others know", () => {
    const world = new Simulation(6);
    for (let i = 0; i < 2; i++) world.add();
    world.run(3000);
    const [first, other] = world.nodes;
    expect(first?.isLeading).toBe(true);
    first?.leave();
    // its own vote is enough, and nobody hears of it
    world.network.cut(first?.id ?? "", other?.id ?? "", true);
    world.run(1000);
    expect(world.latest?.members).toEqual([other?.id]);
    expect(first?.isAlive).toBe(true);
    world.heal();
    world.run(5000);
    expect(world.alive).toEqual([other]);
    const { step = 0 } = world.latest ?? {};
    world.run(3000);
    expect(world.latest?.step).toBeGreaterThan(step + 3);
  });
});

describe("whatever befalls a cluster", () => {
  it("lives through what the soak has found", () => {
    // it stood still after a leader that had itself left out by its own vote ended too soon, and where steps were dropped too early
    for (const seed of [1_026_336, 1_058_635]) expect(runSchedules(seed, 1).stuck).toEqual([]);
  });

  it("a step is everybody's or nobody's, and those who are left go on, all of them", () => {
    const { faults, viable, stuck } = runSchedules(0, 2000);
    expect(stuck).toEqual([]);
    expect(viable).toBeGreaterThan(1900);
    for (const name of FAULT_NAMES) expect(faults.get(name) ?? 0, name).toBeGreaterThan(100);
    // the soak has them at every phase and hop
    for (const name of PACKET_FAULT_NAMES)
      for (const [plane, phases] of Object.entries(PHASES)) {
        const often = [...faults].filter(([what]) => isAt(what, name, phases));
        const sum = often.reduce((all, [, count]) => all + count, 0);
        expect(sum, `${name} at ${plane}`).toBeGreaterThan(5);
      }
  });
});

function isAt(what: string, name: string, phases: readonly string[]): boolean {
  return phases.some((phase) => what.startsWith(`${name} at ${phase}`));
}
