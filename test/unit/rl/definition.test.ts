/** What algorithms are made of, and what they refuse. */
import { describe, expect, it } from "vitest";
import type { Algorithm } from "../../../src/rl/algorithm/algorithm.ts";
import { cispo } from "../../../src/rl/algorithm/cispo.ts";
import { ratioUnit } from "../../../src/rl/algorithm/clipping.ts";
import {
  type AlgorithmDefinition,
  type AlgorithmOptions,
  defineAlgorithm,
} from "../../../src/rl/algorithm/definition.ts";
import { grpo } from "../../../src/rl/algorithm/grpo.ts";
import { ALGORITHMS, type AlgorithmName, algorithm } from "../../../src/rl/algorithm/index.ts";
import { isClipped } from "../../reference/rl-token-losses.ts";
import { codeOf } from "../../support/errors.ts";

const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];

/** Everything but functions. */
function data(made: Algorithm): object {
  return JSON.parse(JSON.stringify(made)) as object;
}

const COMMON = {
  ...{ aggregation: { mode: "token-mean" }, per: "episode", old: "rollout" },
  ...{ entropyCoefficient: 0, epochs: 1, minibatches: 1 },
};
const BY_SEQUENCE = { aggregation: { mode: "seq-mean-token-mean" } };
const CLIP = { form: "clip", low: 0.2, high: 0.2 };

describe("defaults", () => {
  const expected: Readonly<Record<AlgorithmName, object>> = {
    ppo: { loss: CLIP, critic: { coefficient: 0.1, clip: 0.2, model: "head" }, epochs: 4 },
    grpo: { loss: CLIP, ...BY_SEQUENCE },
    dr_grpo: { loss: CLIP, aggregation: { mode: "seq-mean-token-sum-norm", horizon: 512 } },
    rloo: { loss: { form: "sequence-sum-clip", low: 0.2, high: 0.2 }, ...BY_SEQUENCE },
    "reinforce++": { loss: CLIP },
    "reinforce++-baseline": { loss: CLIP },
    dapo: { loss: { ...CLIP, high: 0.28 }, dynamicSampling: { refillCap: 10 } },
    gspo: {
      loss: { form: "sequence-clip", low: 3e-4, high: 4e-4 },
      ...BY_SEQUENCE,
      minibatches: 4,
    },
    cispo: { loss: { form: "cispo", ratioCap: 5, floor: 0 } },
    sapo: { loss: { form: "sapo", tauPositive: 1, tauNegative: 1.05 }, ...BY_SEQUENCE },
    forge: { loss: { form: "cispo", ratioCap: 5 }, per: "request" },
  };

  it.each(NAMES)("of %s are those of its source", (name) => {
    expect(data(algorithm(name))).toEqual({ ...COMMON, ...expected[name], name });
  });
});

describe("options", () => {
  it.each(NAMES)("of %s replace any part", (name) => {
    const options = {
      ...{ name: "mine", loss: { form: "reinforce" }, aggregation: { mode: "token-mean" } },
      ...{ per: "request", old: "trainer", importance: { kind: "token-tis", cap: 2 } },
      ...{ kl: { in: "loss", kind: "k3+", coefficient: 0.01 }, entropyCoefficient: 0.02 },
      ...{ critic: { coefficient: 0.5, model: "separate" }, epochs: 3, minibatches: 5 },
      ...{ dynamicSampling: { refillCap: 0 }, overlong: { maxLength: 16, buffer: 4 } },
    } as const satisfies AlgorithmOptions;
    expect(data(algorithm(name, options))).toEqual(options);
  });

  it("leave a part out with null, and leave it alone with undefined", () => {
    expect(algorithm("dapo", { dynamicSampling: null }).dynamicSampling).toBeUndefined();
    const absent = { epochs: undefined } as unknown as AlgorithmOptions;
    expect(algorithm("ppo", absent).epochs).toBe(4);
  });

  it("set what the algorithm is named after", () => {
    expect(algorithm("grpo", { clipLow: 0.1, clipHigh: 0.3 }).loss).toEqual({
      ...{ form: "clip", low: 0.1, high: 0.3 },
    });
    expect(algorithm("ppo", { dualClip: 3 }).loss).toEqual({ ...CLIP, dual: 3 });
    const trust = { low: 0.2, high: 0.28 };
    expect(cispo({ ratioCap: 2, trust }).loss).toEqual({
      ...{ form: "cispo", ratioCap: 2, floor: 0, trust },
    });
    expect(algorithm("sapo", { tauNegative: 2 }).loss).toEqual({
      ...{ form: "sapo", tauPositive: 1, tauNegative: 2 },
    });
  });

  it.each<[string, object]>([
    ["an unknown one", { clipHi: 0.3 }],
    ["no passes", { epochs: 0 }],
    ["half an update", { minibatches: 0.5 }],
    ["no number", { entropyCoefficient: "0.1" }],
    ["another unit", { per: "turn" }],
    ["another policy", { old: "reference" }],
    ["a negative bound", { clipLow: -0.1 }],
    ["a bound that is none", { loss: { form: "cispo", ratioCap: Number.NaN } }],
    ["a negative trust", { loss: { form: "cispo", ratioCap: 5, trust: { low: -1, high: 1 } } }],
    ["no horizon", { aggregation: { mode: "seq-mean-token-sum-norm", horizon: 0 } }],
    ["a correction that would count twice", { importance: { kind: "token-tis", cap: 2 } }],
    ["a correction without a cap", { old: "trainer", importance: { kind: "token-tis", cap: 0 } }],
    ["a gradient in the reward", { kl: { in: "reward", kind: "k3+", coefficient: 1 } }],
    ["a divergence that is none", { kl: { in: "loss", kind: "k4", coefficient: 1 } }],
    ["a divergence elsewhere", { kl: { in: "gradient", kind: "k1", coefficient: 1 } }],
    ["a critic elsewhere", { critic: { coefficient: 1, model: "tail" } }],
    ["a negative critic", { critic: { coefficient: -1, model: "head" } }],
    ["refills without end", { dynamicSampling: { refillCap: Infinity } }],
    ["a buffer above the limit", { overlong: { maxLength: 4, buffer: 5 } }],
  ])("with %s are refused", (_, options) => {
    const code = codeOf(() => grpo(options));
    expect(["argument_invalid", "non_finite"]).toContain(code);
  });

  it("need a name that there is", () => {
    for (const name of ["gppo", "toString"]) {
      expect(codeOf(() => algorithm(name as AlgorithmName))).toBe("argument_invalid");
    }
  });
});

describe("an algorithm of one's own", () => {
  it("is another one, changed", () => {
    const advantage: Algorithm["advantage"] = () => ({ advantages: [] });
    const made = defineAlgorithm({ ...grpo(), name: "mine", advantage });
    expect(made).toEqual({ ...grpo(), name: "mine", advantage, isClipped: made.isClipped });
    expect(made.advantage).toBe(advantage);
  });

  it("has defaults for all but its name, advantage and loss", () => {
    const definition: AlgorithmDefinition = {
      name: "bare",
      advantage: grpo().advantage,
      loss: { form: "reinforce" },
    };
    expect(data(defineAlgorithm(definition))).toEqual({
      ...COMMON,
      ...{ name: "bare", loss: { form: "reinforce" } },
    });
  });
});

describe("what counts as clipped", () => {
  const clipped = (loss: Algorithm["loss"], ratio: number, advantage: number) =>
    grpo({ loss }).isClipped(ratio, advantage);

  it("follows a clip as the oracle does", () => {
    const bounds = { low: 0.2, high: 0.28 };
    for (const a of [-1, 0, 1]) {
      for (const r of [0.1, 0.79, 0.81, 1, 1.27, 1.29, 9]) {
        const token = { logp: Math.log(r), old: 0, frozen: Math.log(r), advantage: a };
        expect(clipped({ form: "clip", ...bounds }, r, a)).toBe(isClipped(token, bounds));
      }
    }
  });

  it("is the weight for CISPO, and nothing where nothing is bounded", () => {
    const loss = { form: "cispo", ratioCap: 5, floor: 0.5 } as const;
    for (const a of [-1, 1]) {
      expect([0.4, 0.5, 5, 5.1].map((r) => clipped(loss, r, a))).toEqual([
        true,
        false,
        false,
        true,
      ]);
    }
    const trusting = { ...loss, trust: { low: 0.2, high: 0.2 } };
    expect([clipped(trusting, 1.3, 1), clipped(trusting, 1.3, -1)]).toEqual([true, false]);
    const bounds = { low: 0.2, high: 0.2 };
    expect(clipped({ form: "geometric-mean", bound: 0.4 }, Math.exp(0.5), 1)).toBe(true);
    expect(clipped({ form: "dppo", distance: 0.2, ratioCap: 20 }, 21, 1)).toBe(true);
    expect(clipped({ form: "sequence-clip", ...bounds }, 0.7, -1)).toBe(true);
    expect(clipped({ form: "sequence-sum-clip", ...bounds }, 0.7, 1)).toBe(false);
    for (const loss of [
      { form: "sapo", tauPositive: 1, tauNegative: 1 },
      { form: "reinforce" },
      { form: "prime-rl", distance: 0.2, klTau: 1e-3 },
      (input: { logprobs: never }) => input.logprobs,
    ] as const) {
      expect(clipped(loss as Algorithm["loss"], 99, 1)).toBe(false);
    }
  });

  it("is of sequences where the loss is", () => {
    const units = NAMES.map((name) => [name, ratioUnit(algorithm(name).loss)]);
    const { gspo, rloo, ...others } = Object.fromEntries(units) as Record<string, string>;
    expect([gspo, rloo]).toEqual(["sequence-mean", "sequence-sum"]);
    expect(new Set(Object.values(others))).toEqual(new Set(["token"]));
    expect(ratioUnit(() => undefined as never)).toBe("token");
  });
});
