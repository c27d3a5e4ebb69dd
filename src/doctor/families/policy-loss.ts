/** Losses of policies: one ratio a token and one a sequence, a divergence, tokens that do not count. */
import { type PolicyLossForm, policyLoss, tensor } from "../../../engine/index.ts";
import { generator, uniform } from "../../bench/numbers.ts";
import { add, affine, exp, largest, Scalar, sum } from "../scalar.ts";
import { differentiable, operands, type SelfTest } from "../self-test.ts";

const LOW = 0.2;
const HIGH = 0.3;
const KL = 0.5;
/** The second sequence is longer than a workgroup, the third one empty. */
const OFFSETS = [0, 5, 305, 305, 340] as const;
const TOKENS = OFFSETS[4];

/** The tests. */
export function policyLossTests(): SelfTest[] {
  return [
    lossTest("clipped, with k3", { form: "clip", low: LOW, high: HIGH }),
    lossTest("clipped by sequence, with k3", { form: "sequence-clip", low: LOW, high: HIGH }),
  ];
}

/** Every fifth token has weight 0. */
function constants(): Record<
  "old" | "advantage" | "weight" | "importance" | "reference",
  number[]
> {
  const next = generator(3);
  const row = (low: number, high: number) => [...uniform(TOKENS, next, low, high)];
  return {
    ...{ old: row(-1, 1), advantage: row(-1, 1) },
    weight: row(0.5, 1).map((w, t) => (t % 5 === 4 ? 0 : w)),
    ...{ importance: row(0.5, 1.5), reference: row(-1, 1) },
  };
}

function lossTest(name: string, policy: PolicyLossForm): SelfTest {
  const rows = constants();
  const data = Float32Array.from(Object.values(rows).flat());
  return differentiable({
    family: "policy loss",
    name,
    inputs: operands({ logprobs: [TOKENS] }),
    engine: ({ logprobs }) => {
      const kl = { kind: "k3", coefficient: KL } as const;
      const offsets = tensor(Uint32Array.from(OFFSETS));
      const result = policyLoss(logprobs, tensor(data, [5, TOKENS]), offsets, { policy, kl });
      return [result.policy, result.kl, result.loss];
    },
    definition: ({ logprobs }) => {
      const number = (row: keyof typeof rows, t: number): number => Number(rows[row][t]);
      const log = (t: number): Scalar => affine(logprobs[t] as Scalar, 1, -number("old", t));
      const ratios = OFFSETS.slice(1).flatMap((end, s) => {
        const tokens = range(Number(OFFSETS[s]), end);
        if (policy.form === "clip") return tokens.map((t) => exp(log(t)));
        const counted = tokens.filter((t) => number("weight", t) !== 0);
        const ratio = exp(affine(sum(counted.map(log)), 1 / counted.length));
        return tokens.map(() => ratio);
      });
      const terms = ratios.map((ratio, t) =>
        affine(
          clipped(ratio, number("advantage", t)),
          number("weight", t) * number("importance", t),
        ),
      );
      const divergences = logprobs.map((logprob, t) => {
        const x = affine(logprob, 1, -number("reference", t));
        return affine(add(exp(affine(x, -1)), affine(x, 1, -1)), number("weight", t));
      });
      const [ofPolicy, ofKl] = [sum(terms), sum(divergences)];
      return [[ofPolicy], [ofKl], [add(ofPolicy, affine(ofKl, KL))]];
    },
  });
}

/** max(−A·r, −A·clip(r)). */
function clipped(ratio: Scalar, advantage: number): Scalar {
  const bound = Math.min(1 + HIGH, Math.max(1 - LOW, ratio.value));
  const held = bound === ratio.value ? ratio : new Scalar(bound);
  return largest([ratio, held].map((r) => affine(r, -advantage)));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
