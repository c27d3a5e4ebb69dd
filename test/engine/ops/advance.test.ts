import { beforeAll, describe, expect, it } from "vitest";
import {
  advance,
  compile,
  type Device,
  type SlotStates,
  State,
  sample,
  samplingWords,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/advance.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const NONE = 0xffff_ffff;

/** Slots whose logs hold `length` tokens; `left` is the budget of each. */
function records(left: readonly number[], length: number, stops: readonly number[] = []) {
  return left.map((budget, slot) => ({
    token: 100 + slot,
    position: 10 * slot,
    left: budget,
    produced: 0,
    stops,
    log: Array.from({ length }, () => [0, 0, 0, 0]),
  }));
}

/** The same as states. */
function statesOf(slots: readonly oracle.SlotRecord[]): SlotStates {
  const words = (name: string, width: readonly number[], of: (s: oracle.SlotRecord) => number[]) =>
    new State([slots.length, ...width], "u32", Uint32Array.from(slots.flatMap(of)), name);
  return {
    tokens: words("tokens", [], (s) => [s.token]),
    positions: words("positions", [], (s) => [s.position]),
    progress: words("progress", [2], (s) => [s.left, s.produced]),
    stops: words("stops", [8], ({ stops }) => [...stops, ...Array(8 - stops.length).fill(NONE)]),
    log: words("log", [slots[0]?.log.length ?? 1, 4], (s) => s.log.flat()),
  };
}

async function expectStates(states: SlotStates, slots: readonly oracle.SlotRecord[]) {
  const expected = statesOf(slots);
  for (const name of ["tokens", "positions", "progress", "stops", "log"] as const) {
    expect([...(await states[name].read())], name).toEqual([...(await expected[name].read())]);
    expected[name][Symbol.dispose]();
  }
}

function booking(states: SlotStates) {
  return compile(
    (token: Tensor, logprob: Tensor, entropy: Tensor, slots: Tensor) => {
      advance({ token, logprob, entropy }, slots, states);
      return states.progress;
    },
    { device: gpu, label: "advance" },
  );
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(
    values.buffer.slice(values.byteOffset, values.byteOffset + 4 * values.length),
  );
}

describe("advance", () => {
  it("keeps the oracle's books over many steps: budgets, stops, logs that wrap, idle slots, rows without one", async () => {
    const random = randoms(8);
    const slots = records([4, 0, 1, 20, 7, 100, 3], 5, [3, 5]);
    const states = statesOf(slots);
    const step = booking(states);
    for (let i = 0; i < 25; i++) {
      // the last is left out: slots in any order, now and then one that there is not
      const order = [0, 1, 2, 3, 4, 5, 6, NONE, 99].map((slot) => ({ slot, by: random.next() }));
      order.sort((a, b) => a.by - b.by);
      const at = Uint32Array.from(order.slice(0, 8), ({ slot }) => slot);
      const token = Uint32Array.from(random.integers(8, 0, 40));
      const [logprob, entropy] = [random.floats(8, -9, 0), random.floats(8, 0, 9)];
      const [before, l, e] = [
        slots.map((s) => [s.left, s.produced]),
        bitsOf(logprob),
        bitsOf(entropy),
      ];
      const progress = await step(tensor(token), tensor(logprob), tensor(entropy), tensor(at));
      const rows = [...at].map((slot, r) => ({
        slot,
        token: Number(token[r]),
        logprobBits: Number(l[r]),
        entropyBits: Number(e[r]),
      }));
      oracle.advance(slots, rows);
      // what a function returns of a state is its value before the function
      expect([...(await progress.read())]).toEqual(before.flat());
      if (i % 6 === 0) await expectStates(states, slots);
    }
    await expectStates(states, slots);
    expect(slots.map((s) => s.produced)).not.toContain(100);
    expect(Math.max(...slots.map((s) => s.produced))).toBeGreaterThan(10);
    step[Symbol.dispose]();
  });

  it("deals with more rows than a workgroup has lanes", async () => {
    const slots = records(Array<number>(150).fill(2), 1);
    const states = statesOf(slots);
    const step = booking(states);
    const at = Uint32Array.from({ length: 150 }, (_, i) => (i * 7) % 150);
    const token = at.map((s) => s + 1000);
    const scores = Float32Array.from(at, (s) => s / 3);
    await step(tensor(token), tensor(scores), tensor(scores), tensor(at));
    const bits = bitsOf(scores);
    oracle.advance(
      slots,
      [...at].map((slot, r) => {
        const score = Number(bits[r]);
        return { slot, token: slot + 1000, logprobBits: score, entropyBits: score };
      }),
    );
    await expectStates(states, slots);
    step[Symbol.dispose]();
  });

  it("takes what sample gives, step after step, without a copy of it", async () => {
    const [rows, cols] = [3, 16];
    const slots = records([2, 3, 0], 4);
    const states = statesOf(slots);
    const logits = tensor(randoms(4).floats(rows * cols, -3, 3), [rows, cols]);
    const words = [0, 1, 2].flatMap((seed) => [...samplingWords({ seed })]);
    const settings = tensor(Uint32Array.from(words), [rows, 8]);
    const at = tensor(new Uint32Array([2, 0, 1]));
    const run = { slots: at, settings, positions: states.positions };
    const step = compile(
      () => {
        const drawn = sample(logits, run);
        advance(drawn, at, states);
        return { ...drawn };
      },
      { device: gpu, label: "draw" },
    );
    for (let i = 0; i < 4; i++) {
      const drawn = await step();
      const token = await drawn.token.read();
      const logprob = bitsOf((await drawn.logprob.read()) as Float32Array);
      const entropy = bitsOf((await drawn.entropy.read()) as Float32Array);
      oracle.advance(
        slots,
        [2, 0, 1].map((slot, r) => ({
          slot,
          token: Number(token[r]),
          logprobBits: Number(logprob[r]),
          entropyBits: Number(entropy[r]),
        })),
      );
      await expectStates(states, slots);
    }
    const kernels = (await step.plan()).program.calls.map((c) => c.label);
    expect(kernels.filter((k) => /sample|advance/.test(k))).toHaveLength(3);
    expect(kernels.filter((k) => /input/.test(k))).toEqual([]);
    step[Symbol.dispose]();
  });

  it("does nothing without rows", async () => {
    const slots = records([2, 3], 4);
    const states = statesOf(slots);
    const step = booking(states);
    const [ids, floats] = [tensor(new Uint32Array(0)), tensor(new Float32Array(0))];
    await step(ids, floats, floats, ids);
    await expectStates(states, slots);
    step[Symbol.dispose]();
  });

  it("refuses what does not fit, and to run outside of a compiled function", async () => {
    const states = statesOf(records([1, 1], 2));
    const [ids, floats] = [tensor(new Uint32Array(2)), tensor(new Float32Array(2))];
    const drawn = { token: ids, logprob: floats, entropy: floats };
    const wrong = (name: keyof SlotStates, shape: number[], dtype: "u32" | "f32" = "u32") =>
      codeOf(() => advance(drawn, ids, { ...states, [name]: new State(shape, dtype, 0, name) }));
    expect(codeOf(() => advance(drawn, ids, states))).toBe("state_conflict");
    expect(codeOf(() => advance(drawn, tensor(new Uint32Array(3)), states))).toBe("shape_mismatch");
    expect(codeOf(() => advance({ ...drawn, token: floats }, ids, states))).toBe("dtype_mismatch");
    expect(wrong("positions", [3])).toBe("shape_mismatch");
    expect(wrong("progress", [2])).toBe("shape_mismatch");
    expect(wrong("stops", [2, 4])).toBe("shape_mismatch");
    expect(wrong("log", [2, 0, 4])).toBe("shape_mismatch");
    expect(wrong("tokens", [2], "f32")).toBe("dtype_mismatch");
    const twice = compile(
      () => {
        advance(drawn, ids, states);
        advance(drawn, ids, states);
        return {};
      },
      { device: gpu, label: "twice" },
    );
    expect(await rejectionOf(twice())).toBe("state_conflict");
    twice[Symbol.dispose]();
  });
});
