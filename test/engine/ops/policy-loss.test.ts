import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  type Device,
  grad,
  type KlKind,
  lmHead,
  type PolicyLossForm,
  type PolicyLossOptions,
  policyLoss,
  type Tensor,
  take,
  tensor,
} from "../../../engine/index.ts";
import type { Aggregation, PolicyBatch, Rows } from "../../reference/rl-losses.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import {
  expectedKl,
  expectedPolicyLoss,
  packAggregated,
  packed,
  packLoss,
  runPolicyLoss,
} from "../../support/policy-loss.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** A hundredth of what the golden values are held to where numbers are small: slopes are shares of a mean over tokens. */
const CLOSE = { abs: 1e-7, rel: 1e-5, ofLargest: 1e-6 };
const TOKEN_MEAN: Aggregation = { mode: "token-mean" };
const SEQUENCE_MEAN: Aggregation = { mode: "seq-mean-token-mean" };
const CLIP = { low: 0.2, high: 0.28 };

/** Longer than a workgroup, empty, without a sampled token (the fourth), of one token. */
const LENGTHS = [300, 0, 7, 5, 1, 33, 40];

interface Drawn extends PolicyBatch {
  readonly reference: Rows;
}

/** Ragged sequences with holes; one log-ratio in eight is large, one advantage in eight is 0. All numbers are of f32. */
function draw(seed: number, { spread = 0.5, isOutcome = false } = {}): Drawn {
  const random = randoms(seed);
  const rowsOf = (of: (i: number) => () => number): Float64Array[] =>
    LENGTHS.map((length, i) => {
      const next = of(i);
      return Float64Array.from({ length }, () => Math.fround(next()));
    });
  const unit = (): number => 2 * random.next() - 1;
  const advantage = (): number => (random.next() < 1 / 8 ? 0 : unit());
  const old = rowsOf(() => () => -3 * random.next() - 0.1);
  const near = (rows: Rows): Float64Array[] =>
    rows.map((row) =>
      Float64Array.from(row, (x) =>
        Math.fround(x + unit() * spread * (random.next() < 1 / 8 ? 12 : 1)),
      ),
    );
  return {
    logp: near(old),
    old,
    reference: near(old),
    mask: LENGTHS.map((length, i) =>
      Float64Array.from({ length }, (_, t) => (i === 3 || (t % 3 === 1 && length > 1) ? 0 : 1)),
    ),
    advantages: rowsOf(() => {
      const outcome = advantage();
      return () => (isOutcome ? outcome : advantage());
    }),
    ...(isOutcome ? {} : { importance: rowsOf(() => () => 2 * random.next()) }),
  };
}

const FORMS: readonly PolicyLossForm[] = [
  { form: "clip", ...CLIP },
  { form: "clip", ...CLIP, dual: 3 },
  { form: "clip", ...CLIP, delta: 1.1 },
  { form: "clip", low: 0.5, high: Number.POSITIVE_INFINITY, dual: Number.POSITIVE_INFINITY },
  { form: "cispo", ratioCap: 5 },
  { form: "cispo", ratioCap: 1.2, floor: 0.8 },
  { form: "cispo", ratioCap: 5, trust: CLIP },
  { form: "sapo", tauPositive: 1, tauNegative: 1.05 },
  { form: "reinforce" },
  { form: "dppo", distance: 0.05, ratioCap: 20 },
  { form: "prime-rl", distance: 0.05, klTau: 1e-3 },
  { form: "sequence-clip", low: 0.02, high: 0.03 },
  { form: "sequence-clip", low: 0.02, high: 0.03, dual: 1.01 },
  { form: "sequence-sum-clip", ...CLIP },
  { form: "geometric-mean", bound: 0.2 },
  { form: "geometric-mean", bound: 0.2, epsilon: 0.5 },
];

const KINDS: readonly KlKind[] = [
  "k1",
  "k2",
  "k3",
  "abs",
  "k1+",
  "k2+",
  "k3+",
  "abs+",
  "unbiased-k3",
];

/** One for each way through the kernel. */
const WAYS = [0, 4, 7, 10, 11, 14].map((i) => FORMS[i] as PolicyLossForm);

/** Forms whose oracle knows means over sequences of one advantage only. */
function isOutcomeForm({ form }: PolicyLossForm): boolean {
  return form === "sequence-sum-clip" || form === "geometric-mean";
}

describe.each(KERNEL_CLASSES)("policyLoss by %s kernels", (kernels) => {
  it.each(FORMS.map((form, i) => [JSON.stringify(form), form, i] as const))(
    "%s agrees with f64, with every kind of KL",
    async (_name, policy, i) => {
      const isOutcome = isOutcomeForm(policy);
      const spread = policy.form === "sequence-sum-clip" ? 0.02 : 0.5;
      for (const [k, kind] of [undefined, ...KINDS].entries()) {
        const batch = draw(100 * i + k, { spread, isOutcome });
        const aggregation = isOutcome || k % 2 ? SEQUENCE_MEAN : TOKEN_MEAN;
        const kl = kind && { kind, coefficient: 0.3 };
        const { reference } = batch;
        const input = packAggregated(batch, aggregation, { reference, around: 3 });
        const run = await runPolicyLoss(gpu, input, { policy, ...(kl && { kl }) }, kernels);
        const ofPolicy = expectedPolicyLoss(batch, aggregation, policy);
        const ofKl = kind && expectedKl(batch, reference, aggregation, kind);
        const what = kind ?? "no KL";
        const klValue = ofKl?.value ?? 0;
        const total = ofPolicy.value + 0.3 * klValue;
        const values = [ofPolicy.value, klValue, total];
        expectClose([run.policy, run.kl, run.loss], values, CLOSE, `values, ${what}`);
        const slopes = ofPolicy.gradient.map((row, s) =>
          row.map((slope, t) => slope + 0.3 * Number(ofKl?.gradient[s]?.[t] ?? 0)),
        );
        expectClose(run.gradient, packed(slopes, 3), CLOSE, `gradient, ${what}`);
        expect(packed(slopes).some((slope) => slope !== 0)).toBe(true);
        if (k === 0) expect(run.kl).toBe(0);
      }
    },
  );

  it("is exactly 0 for tokens of weight 0, whatever else is there", async () => {
    const batch = draw(7);
    for (const policy of WAYS) {
      const kl = { kind: "k3", coefficient: 1 } as const;
      const input = packAggregated(batch, TOKEN_MEAN, { reference: batch.reference, around: 2 });
      const { gradient } = await runPolicyLoss(gpu, input, { policy, kl }, kernels);
      const counts = packed(batch.mask, 2);
      expect([...gradient].filter((slope, t) => counts[t] === 0 && slope !== 0)).toEqual([]);
    }
  });

  it("is not finite where a token that counts is not", async () => {
    const names = ["old", "advantage", "weight", "importance"];
    for (const policy of WAYS) {
      for (const row of [-1, 0, 1, 2, 3]) {
        for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
          const input = packAggregated(draw(8), TOKEN_MEAN);
          const to = row < 0 ? input.logprobs : input.rows.subarray(row * input.logprobs.length);
          to[2] = bad;
          const { loss } = await runPolicyLoss(gpu, input, { policy }, kernels);
          const what = `${JSON.stringify(policy)}: ${names[row] ?? "logprob"} ${bad}`;
          expect(Number.isFinite(loss), what).toBe(false);
        }
      }
    }
  });

  it("holds log-ratios beyond ±20, without gradient, and stays finite", async () => {
    const far = { mask: [[1], [1]], logp: [[-1], [-1000]], old: [[-1000], [-1]] };
    for (const policy of FORMS) {
      for (const a of [1, -1]) {
        const batch = { ...far, advantages: [[a], [a]] };
        const input = packAggregated(batch, SEQUENCE_MEAN, { reference: far.old });
        const kl = { kind: "unbiased-k3", coefficient: 1 } as const;
        const run = await runPolicyLoss(gpu, input, { policy, kl }, kernels);
        expect([run.loss, ...run.gradient].every(Number.isFinite), policy.form).toBe(true);
        const { value, gradient } = expectedPolicyLoss(batch, SEQUENCE_MEAN, policy);
        // the oracle of GMPO does not hold the mean, as verl
        if (policy.form === "geometric-mean") continue;
        const alone = await runPolicyLoss(gpu, input, { policy }, kernels);
        expectClose([alone.loss], [value], CLOSE, JSON.stringify(policy));
        expectClose(alone.gradient, packed(gradient), CLOSE, JSON.stringify(policy));
      }
    }
  });

  it("keeps the digits of k3 where policy and reference are close", async () => {
    const x = [1e-5, -1e-4, 1e-3, -0.01, 0.1, -0.9, 0.99, -1.01, 5].map(Math.fround);
    const logp = x.map(() => 0);
    const zero = [logp];
    const batch = { logp: zero, old: zero, advantages: zero, mask: [x.map(() => 1)] };
    const policy = { form: "reinforce" } as const;
    for (const [t, at] of x.entries()) {
      const weights = [x.map((_, other) => (other === t ? 1 : 0))];
      const input = packLoss(batch, { weights, reference: [x.map((y) => -y)] });
      const kl = { kind: "k3", coefficient: 1 } as const;
      const run = await runPolicyLoss(gpu, input, { policy, kl }, kernels);
      // the definition loses the digits in f64 too
      const series = at * at * (1 / 2 - at * (1 / 6 - at * (1 / 24 - at / 120)));
      const value = Math.abs(at) < 0.02 ? series : Math.expm1(-at) + at;
      expectClose([run.kl], [value], { abs: 0, rel: 2e-6 }, `x = ${at}`);
      expectClose([Number(run.gradient[t])], [-Math.expm1(-at)], { abs: 0, rel: 2e-6 });
    }
  });
});

/** One sequence of tokens with these ratios, weight 1 each. */
function ofRatios(ratios: readonly number[], advantage: number): PolicyBatch {
  const row = (value: (r: number) => number): number[][] => [ratios.map(value)];
  return {
    logp: row(() => -1),
    old: row((r) => -1 - Math.log(r)),
    advantages: row(() => advantage),
    mask: row(() => 1),
  };
}

async function slopesOf(batch: PolicyBatch, policy: PolicyLossForm): Promise<number[]> {
  const { gradient } = await runPolicyLoss(gpu, packLoss(batch, { weights: batch.mask }), {
    policy,
  });
  return [...gradient];
}

describe("policyLoss", () => {
  it("FEATURE 20: CISPO's gradient is min(r, cap)·A·∇logπ; PPO's and DAPO's is 0 where they clip", async () => {
    const cap = 5;
    const ratios = [0.1, 1, cap, 10 * cap];
    const clips = { PPO: { low: 0.2, high: 0.2 }, DAPO: CLIP };
    for (const a of [1, -1]) {
      const batch = ofRatios(ratios, a);
      const capped = await slopesOf(batch, { form: "cispo", ratioCap: cap });
      const expected = ratios.map((r) => -Math.min(r, cap) * a);
      expectClose(capped, expected, { abs: 1e-6, rel: 1e-5 }, `CISPO, A = ${a}`);
      for (const [name, bounds] of Object.entries(clips)) {
        const clipped = await slopesOf(batch, { form: "clip", ...bounds });
        const isLost = (r: number): boolean => (a > 0 ? r > 1 + bounds.high : r < 1 - bounds.low);
        const left = ratios.map((r) => (isLost(r) ? 0 : -r * a));
        expectClose(clipped, left, { abs: 0, rel: 1e-5 }, `${name}, A = ${a}`);
        expect(left.filter((slope) => slope === 0)).toHaveLength(a > 0 ? 2 : 1);
      }
    }
  });

  it("FEATURE 21: ratioCap is absolute: 5 caps r at 5", async () => {
    const slopes = await slopesOf(ofRatios([4.5, 5.5, 6.5], 1), { form: "cispo", ratioCap: 5 });
    expectClose(slopes, [-4.5, -5, -5], { abs: 0, rel: 1e-5 });
    const low = await slopesOf(ofRatios([0.1, 1, 3], 1), { form: "cispo", ratioCap: 0.2 });
    expectClose(low, [-0.1, -0.2, -0.2], { abs: 0, rel: 1e-5 });
  });

  it("FEATURE 22: a mean over tokens is invariant to micro-batches and to packing", async () => {
    const batch = draw(22);
    const input = packAggregated(batch, TOKEN_MEAN, { reference: batch.reference });
    const options: PolicyLossOptions = {
      policy: { form: "cispo", ratioCap: 5 },
      kl: { kind: "k3", coefficient: 0.1 },
    };
    const same = { abs: 1e-7, rel: 2e-6 };
    const whole = await runPolicyLoss(gpu, input, options);
    const count = input.logprobs.length;
    const oneSequence = { ...input, offsets: Uint32Array.of(0, count) };
    const packedRun = await runPolicyLoss(gpu, oneSequence, options);
    expectClose([packedRun.loss], [whole.loss], same, "packed");
    expectClose(packedRun.gradient, whole.gradient, { abs: 0, rel: 0 }, "packed");
    for (const size of [1, 2, 3]) {
      let loss = 0;
      const gradient: number[] = [];
      for (let s = 0; s < LENGTHS.length; s += size) {
        const offsets = input.offsets.slice(s, s + size + 1);
        const [from, to] = [Number(offsets[0]), Number(offsets.at(-1))];
        const rows = [0, 1, 2, 3, 4].flatMap((k) => [
          ...input.rows.slice(k * count + from, k * count + to),
        ]);
        const part = {
          logprobs: input.logprobs.slice(from, to),
          rows: Float32Array.from(rows),
          offsets: offsets.map((o) => o - from),
        };
        const run = await runPolicyLoss(gpu, part, options);
        loss += run.loss;
        gradient.push(...run.gradient);
      }
      expectClose([loss], [whole.loss], same, `${size} sequences at a time`);
      expectClose(gradient, whole.gradient, { abs: 0, rel: 0 }, `${size} at a time`);
    }
  });

  it("FEATURE 23: the unified mask zeroes exactly the two cases in which PPO has no gradient", async () => {
    const ratios = [0.1, 0.79, 0.81, 1, 1.27, 1.29, 40];
    for (const a of [1, -1]) {
      const batch = ofRatios(ratios, a);
      const masked = await slopesOf(batch, { form: "cispo", ratioCap: 5, trust: CLIP });
      const free = await slopesOf(batch, { form: "cispo", ratioCap: 5 });
      const clipped = await slopesOf(batch, { form: "clip", ...CLIP });
      const isZero = ratios.map((r) => (a > 0 ? r > 1.28 : r < 0.8));
      expect(masked.map((slope) => slope === 0)).toEqual(isZero);
      expect(clipped.map((slope) => slope === 0)).toEqual(isZero);
      expect(masked).toEqual(free.map((slope, t) => (isZero[t] ? masked[t] : slope)));
    }
  });

  it("FEATURE 25: importance weights of 1 change nothing, and 0 takes a token's term but not its place", async () => {
    const { importance: _, ...plain } = draw(25);
    for (const policy of [FORMS[0], FORMS[4], FORMS[11]] as PolicyLossForm[]) {
      const weighted = (w: (t: number) => number): PolicyBatch => ({
        ...plain,
        importance: plain.mask.map((row) => Array.from(row, (_m, t) => w(t))),
      });
      const run = (batch: PolicyBatch) =>
        runPolicyLoss(gpu, packAggregated(batch, SEQUENCE_MEAN), { policy });
      const [base, ones] = [await run(plain), await run(weighted(() => 1))];
      expect(ones).toEqual(base);
      const rejected = weighted((t) => (t % 2 ? 0 : 1));
      const expected = expectedPolicyLoss(rejected, SEQUENCE_MEAN, policy);
      const { loss, gradient } = await run(rejected);
      expectClose([loss], [expected.value], CLOSE, policy.form);
      expectClose(gradient, packed(expected.gradient), CLOSE, policy.form);
    }
  });

  it("deals more sequences than a row of the grid holds", async () => {
    const count = 70_000;
    const offsets = Uint32Array.from({ length: count + 1 }, (_, i) => i);
    const rows = new Float32Array(5 * count).fill(1, 0, 4 * count);
    const logprobs = new Float32Array(count).fill(1);
    const policy = { form: "cispo", ratioCap: 5 } as const;
    const run = await runPolicyLoss(gpu, { logprobs, rows, offsets }, { policy });
    expect(run.loss).toBe(-count);
    expect(run.gradient.every((slope) => slope === -1)).toBe(true);
  });

  it("is 0, with gradients of 0, without tokens and without sequences", async () => {
    const policy = { form: "clip", ...CLIP } as const;
    const [none, three] = [new Float32Array(0), Float32Array.of(Number.NaN, 1, 2)];
    const empty = { logprobs: none, rows: none, offsets: Uint32Array.of(0, 0, 0) };
    expect(await runPolicyLoss(gpu, empty, { policy })).toMatchObject({
      loss: 0,
      policy: 0,
      kl: 0,
    });
    const outside = { logprobs: three, rows: new Float32Array(15), offsets: Uint32Array.of(2) };
    const run = await runPolicyLoss(gpu, outside, { policy });
    expect({ ...run, gradient: [...run.gradient] }).toEqual({
      ...{ loss: 0, policy: 0, kl: 0 },
      gradient: [0, 0, 0],
    });
  });

  it("trains a head through take(), as if repeated tokens had been computed once each", async () => {
    const [tokens, width, vocab] = [6, 8, 12];
    const edges = Uint32Array.of(0, 1, 2, 0, 1, 3, 4, 0, 5, 5);
    const offsets = Uint32Array.of(0, 3, 7, 10);
    const random = randoms(4);
    const hidden = random.floats(tokens * width);
    const weight = random.floats(vocab * width);
    const labels = Uint32Array.from(random.integers(tokens, 0, vocab));
    const rows = Float32Array.from({ length: 50 }, (_, i) =>
      i < 10 || i >= 40 ? -2.5 + random.next() : i < 20 ? 2 * random.next() - 1 : 0.1,
    );
    const options: PolicyLossOptions = {
      policy: { form: "clip", ...CLIP, dual: 3 },
      kl: { kind: "k3", coefficient: 0.2 },
    };
    const step = (isMerged: boolean) =>
      compile((x: Tensor, head: Tensor, constants: Tensor) => {
        const at = tensor(edges);
        const logprobs = isMerged
          ? take(lmHead(x, head, tensor(labels)).logprob, at)
          : lmHead(take(x, at), head, tensor(edges.map((e) => Number(labels[e])))).logprob;
        const { loss, policy, kl } = policyLoss(logprobs, constants, tensor(offsets), options);
        return { loss, policy, kl, gradients: grad(loss, [x, head]) };
      });
    const read = async (isMerged: boolean): Promise<number[][]> => {
      const run = step(isMerged);
      const args = [tensor(hidden, [tokens, width]), tensor(weight, [vocab, width])] as const;
      // the first call makes the plan; the second one finds the rows changed
      await run(...args, tensor(new Float32Array(50), [5, 10]));
      const { loss, policy, kl, gradients } = await run(...args, tensor(rows, [5, 10]));
      const all = [loss, policy, kl, ...gradients];
      const values: number[][] = [];
      for (const value of all) values.push([...(await value.read())]);
      run[Symbol.dispose]();
      return values;
    };
    const [merged, separate] = [await read(true), await read(false)];
    for (const [i, values] of merged.entries()) {
      expectClose(values, separate[i] ?? [], { abs: 1e-6, rel: 1e-5 }, `result ${i}`);
      expect(values.some((x) => x !== 0)).toBe(true);
    }
  });

  it("refuses what does not fit", async () => {
    const [x, rows, offsets] = [
      tensor([1, 2]),
      tensor(new Float32Array(10), [5, 2]),
      tensor(Uint32Array.of(0, 2)),
    ];
    const policy = { form: "clip", ...CLIP } as const;
    const of = (form: object, kl?: object) =>
      codeOf(() =>
        policyLoss(x, rows, offsets, { policy: form, ...(kl && { kl }) } as PolicyLossOptions),
      );
    expect(codeOf(() => policyLoss(x, tensor([[1, 2]]), offsets, { policy }))).toBe(
      "shape_mismatch",
    );
    expect(codeOf(() => policyLoss(rows, rows, offsets, { policy }))).toBe("shape_mismatch");
    expect(codeOf(() => policyLoss(x, rows, tensor([0, 2]), { policy }))).toBe("dtype_mismatch");
    for (const form of [
      { form: "ppo" },
      { ...policy, low: -0.1 },
      { ...policy, high: Number.NaN },
      { ...policy, dual: "3" },
      { form: "cispo", ratioCap: 0.5, floor: 0.8 },
      { form: "cispo", ratioCap: 5, trust: { low: 0.2, high: Number.NaN } },
      { form: "sapo", tauPositive: 0, tauNegative: 1 },
    ]) {
      expect(of(form), JSON.stringify(form)).toBe("argument_invalid");
    }
    expect(of(policy, { kind: "k4", coefficient: 1 })).toBe("argument_invalid");
    expect(of(policy, { kind: "unbiased-k3+", coefficient: 1 })).toBe("argument_invalid");
    expect(of(policy, { kind: "k3", coefficient: Number.NaN })).toBe("argument_invalid");
    for (const wrong of [
      [0, 3],
      [1, 0],
      [0, 4_000_000_000],
    ]) {
      const { loss } = policyLoss(x, rows, tensor(Uint32Array.from(wrong)), { policy });
      expect(await rejectionOf(loss.read())).toBe("index_out_of_range");
    }
  });
});
