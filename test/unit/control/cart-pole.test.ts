import { describe, expect, it } from "vitest";
import { type CartPoleState, cartPole } from "../../../src/control/cart-pole.ts";
import golden from "../../golden/control/cart-pole.json" with { type: "json" };

/** One environment that begins in the given state. */
function startedAt(start: readonly number[], maxEpisodeSteps = 500): ReturnType<typeof cartPole> {
  const environment = cartPole({ maxEpisodeSteps });
  const state = environment.save() as CartPoleState;
  environment.restore({ ...state, states: Float64Array.from(start) });
  return environment;
}

describe("cartPole against Gymnasium", () => {
  it.each(golden.trajectories)("$rule from $start", (trajectory) => {
    const environment = startedAt(trajectory.start);
    const kept = new Map(trajectory.states.map(([t, ...state]) => [t, state]));
    let total = 0;
    const actions = [...trajectory.actions].map(Number);
    for (const [i, action] of actions.entries()) {
      const step = environment.step([action]);
      total += step.rewards[0] as number;
      const isLast = i === actions.length - 1;
      expect(step.terminated).toEqual([isLast && trajectory.terminated]);
      expect(step.truncated).toEqual([isLast && trajectory.truncated]);
      const expected = kept.get(i + 1);
      if (!expected) continue;
      expect([...step.finalObservations]).toEqual(expected.map(nearly32));
      if (isLast) continue;
      // sine and cosine may differ by an ulp from one library to another, and balancing forgets
      const { states } = environment.save() as CartPoleState;
      states.forEach((x, k) => {
        expect(Math.abs(x - (expected[k] as number))).toBeLessThan(1e-9);
      });
    }
    expect(total).toBe(trajectory.return);
  });

  /** The f32 that an f64 is rounded to, or a neighbour. */
  function nearly32(x: number): unknown {
    return {
      asymmetricMatch: (y: number) => Math.abs(y - x) <= 2 ** -23 * Math.abs(x) + 1e-9,
      toString: () => `nearly ${x}`,
    };
  }
});

describe("cartPole", () => {
  it("goes on with a new episode where one has ended, and shows both observations", () => {
    const environment = startedAt([2.39, 3, 0, 0]);
    const step = environment.step([1]);
    expect(step.terminated).toEqual([true]);
    expect(step.finalObservations[0]).toBeCloseTo(2.45, 6);
    expect(Math.max(...step.observations.map(Math.abs))).toBeLessThan(0.05);
    expect(environment.step([1]).terminated).toEqual([false]);
  });

  it("truncates at the limit on steps, also a step that terminates", () => {
    const goesOn = startedAt([0, 0, 0, 0], 2);
    expect(
      [goesOn.step([0]), goesOn.step([1])].map((s) => [s.terminated[0], s.truncated[0]]),
    ).toEqual([
      [false, false],
      [false, true],
    ]);
    const both = startedAt([2.39, 3, 0, 0], 1).step([1]);
    expect([both.terminated, both.truncated]).toEqual([[true], [true]]);
  });

  it("begins each episode in [−0.05, 0.05), evenly, by seed, environment and episode", () => {
    const environment = cartPole({ numEnvs: 500 });
    const first = environment.reset(7);
    const sorted = [...first].sort((a, b) => a - b);
    expect(sorted[0]).toBeGreaterThanOrEqual(Math.fround(-0.05));
    expect(sorted.at(-1)).toBeLessThanOrEqual(Math.fround(0.05));
    // Kolmogorov and Smirnov's distance of 2000 numbers from the even distribution; 1.95 / √2000 is the 0.1 % bound
    const apart = sorted.map((x, i) => Math.abs((x + 0.05) / 0.1 - (i + 0.5) / sorted.length));
    expect(Math.max(...apart)).toBeLessThan(1.95 / Math.sqrt(sorted.length));
    expect(environment.reset(8)).not.toEqual(first);
    expect(environment.reset(7)).toEqual(first);
    expect(cartPole({ numEnvs: 3 }).reset(7)).toEqual(first.slice(0, 12));
    expect(new Set(first).size).toBeGreaterThan(1990);
  });

  it("goes on from a saved state as if nothing had happened", () => {
    const [one, other] = [cartPole({ numEnvs: 3 }), cartPole({ numEnvs: 3 })];
    one.reset(5);
    const actions = Array.from({ length: 60 }, (_, t) => [t % 2, (t >> 1) % 2, 1]);
    for (const action of actions) one.step(action);
    other.restore(structuredClone(one.save()));
    for (const action of actions) expect(other.step(action)).toEqual(one.step(action));
  });

  it("does not write into what it has given", () => {
    const environment = cartPole({ numEnvs: 2 });
    const first = environment.step([0, 1]);
    const copy = structuredClone(first);
    environment.step([1, 1]);
    expect(first).toEqual(copy);
  });

  it.each([
    ["an action too few", () => cartPole({ numEnvs: 2 }).step([1]), "shape_mismatch"],
    ["an action that is none", () => cartPole().step([2]), "argument_invalid"],
    ["no environment", () => cartPole({ numEnvs: 0 }), "argument_invalid"],
    ["half a step", () => cartPole({ maxEpisodeSteps: 0.5 }), "argument_invalid"],
    [
      "a state of another number",
      () => cartPole().restore(cartPole({ numEnvs: 2 }).save()),
      "shape_mismatch",
    ],
    ["a state that is none", () => cartPole().restore({}), "shape_mismatch"],
  ])("refuses %s", (_, act, code) => {
    expect(act).toThrowError(expect.objectContaining({ code }));
  });
});
