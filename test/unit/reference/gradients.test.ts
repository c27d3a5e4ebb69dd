/** Backward oracles against central differences of forward oracles, along one random direction, in f64. */
import { describe, it } from "vitest";
import { crossEntropyBackward } from "../../reference/cross-entropy.ts";
import { cumulativeSum, cumulativeSumBackward } from "../../reference/cumulative-sum.ts";
import { embedding, embeddingBackward } from "../../reference/embedding.ts";
import { type GatedActivation, gated, gatedBackward } from "../../reference/gated.ts";
import { layerNorm, layerNormBackward } from "../../reference/layer-norm.ts";
import { lmHead, lmHeadBackward } from "../../reference/lm-head.ts";
import { rmsNorm, rmsNormBackward } from "../../reference/rms-norm.ts";
import { rope, ropeBackward } from "../../reference/rope.ts";
import * as softmax from "../../reference/softmax.ts";
import { topK, topKBackward } from "../../reference/top-k.ts";
import { expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

type Numbers = ArrayLike<number>;

const random = randoms(1);
const draw = (count: number): Float64Array => Float64Array.from(random.floats(count, -2, 2));

function dot(a: Numbers, b: Numbers): number {
  return Array.from(a).reduce((sum, v, i) => sum + v * Number(b[i]), 0);
}

/** Compares the slope of `loss` at `x` along a random direction with what `gradient` says. */
function check(loss: (x: Float64Array) => number, x: Float64Array, gradient: Numbers): void {
  const direction = draw(x.length);
  const h = 1e-5;
  const moved = (by: number) => x.map((v, i) => v + by * Number(direction[i]));
  const slope = (loss(moved(h)) - loss(moved(-h))) / (2 * h);
  expectClose([dot(gradient, direction)], [slope], TOLERANCES.differences, "slope");
}

const [rows, cols] = [3, 7] as const;
const size = rows * cols;

describe.each([
  { name: "layer norm", forward: layerNorm, backward: layerNormBackward },
  { name: "rms norm", forward: rmsNorm, backward: rmsNormBackward },
])("the oracle of $name", ({ forward, backward }) => {
  it("has the gradients of all its operands", () => {
    const input = {
      ...{ rows, cols, eps: 1e-3, weightOffset: 1 },
      ...{ x: draw(size), residual: draw(size), weight: draw(cols), bias: draw(cols) },
    };
    const [dy, dsum] = [draw(size), draw(size)];
    const loss = (change: Partial<typeof input>) => {
      const { y, sum } = forward({ ...input, ...change });
      return dot(y, dy) + dot(sum, dsum);
    };
    const gradient: { dx: Numbers; dweight: Numbers; dbias?: Numbers } = backward(input, dy, dsum);
    check((x) => loss({ x }), input.x, gradient.dx);
    check((residual) => loss({ residual }), input.residual, gradient.dx);
    check((weight) => loss({ weight }), input.weight, gradient.dweight);
    if (gradient.dbias) check((bias) => loss({ bias }), input.bias, gradient.dbias);
  });
});

describe("the oracle of", () => {
  it.each([false, true])("rope (interleaved: %s) has its gradient", (isInterleaved) => {
    const input = {
      ...{ tokens: 3, heads: 2, headSize: 7, isInterleaved, scale: 1.3 },
      ...{ positions: [0, 5, 9], frequencies: draw(3) },
    };
    const [x, dy] = [draw(42), draw(42)];
    check((v) => dot(rope({ ...input, x: v }), dy), x, ropeBackward({ ...input, x: dy }));
  });

  it.each<GatedActivation>(["silu", "gelu_tanh", "gelu_erf"])("%s has both gradients", (kind) => {
    const [gate, up, dy] = [draw(9), draw(9), draw(9)];
    const { dgate, dup } = gatedBackward(kind, gate, up, dy);
    check((v) => dot(gated(kind, v, up), dy), gate, dgate);
    check((v) => dot(gated(kind, gate, v), dy), up, dup);
  });

  it("softmax, log-softmax and log-sum-exp has its gradient", () => {
    const [x, dy, dlse] = [draw(size), draw(size), draw(rows)];
    const { softmaxBackward, logSoftmaxBackward, logSumExpBackward } = softmax;
    check((v) => dot(softmax.softmax(rows, cols, v), dy), x, softmaxBackward(rows, cols, x, dy));
    check(
      (v) => dot(softmax.logSoftmax(rows, cols, v), dy),
      x,
      logSoftmaxBackward(rows, cols, x, dy),
    );
    check(
      (v) => dot(softmax.logSumExp(rows, cols, v), dlse),
      x,
      logSumExpBackward(rows, cols, x, dlse),
    );
  });

  it("cumulative sums and the largest elements has its gradient", () => {
    const [x, dy] = [draw(size), draw(size)];
    const back = cumulativeSumBackward(rows, cols, dy);
    check((v) => dot(cumulativeSum(rows, cols, v), dy), x, back);
    const dvalues = draw(rows * 3);
    const dx = topKBackward(rows, cols, 3, topK(rows, cols, 3, x).indices, dvalues);
    check((v) => dot(topK(rows, cols, 3, v).values, dvalues), x, dx);
  });

  it("the embedding has its gradient, summed over repeated ids", () => {
    const ids = [2, 0, 2, 9];
    const [table, dy] = [draw(3 * cols), draw(ids.length * cols)];
    const sizes = { vocab: 3, cols };
    const back = embeddingBackward(dy, ids, sizes);
    check((v) => dot(embedding(v, ids, sizes), dy), table, back);
  });

  it.each([
    { softcap: 0, temperature: 1 },
    { softcap: 3, temperature: 0.7 },
  ])("the LM head has its gradient with $softcap and $temperature", (options) => {
    const labels = [2, -1, 6];
    const logits = draw(size);
    const [dlogprob, dlse, dentropy] = [draw(rows), draw(rows), draw(rows)];
    const loss = (v: Float64Array) => {
      const { logprob, lse, entropy } = lmHead({ logits: v, labels, cols }, options);
      return dot(logprob, dlogprob) + dot(lse, dlse) + dot(entropy, dentropy);
    };
    const input = { logits, labels, cols };
    check(loss, logits, lmHeadBackward(input, { dlogprob, dlse, dentropy }, options));
    const alone = (v: Float64Array) =>
      dot(lmHead({ ...input, logits: v }, { softcap: 0, temperature: 1 }).logprob, dlogprob);
    check(alone, logits, crossEntropyBackward(input, dlogprob));
  });
});
