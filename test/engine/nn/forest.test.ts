import { beforeAll, describe, expect, it } from "vitest";
import {
  chainForest,
  compile,
  type Device,
  embedding,
  forestFromParents,
  grad,
  lmHead,
  namedParameters,
  packSequences,
  parametersOf,
  Random,
  type Tensor,
  Transformer,
  tensor,
  toForest,
} from "../../../engine/index.ts";
import { forestFromParents as oracle, randomForest } from "../../reference/attention.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const VOCAB = 96;
const TOKENS = 80;

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

/** Root-to-leaf paths of a forest, as indices of tokens. */
function pathsOf(parent: Int32Array): number[][] {
  const isParent = new Set(parent);
  const leaves = [...parent.keys()].filter((t) => !isParent.has(t));
  return leaves.map((leaf) => {
    const path: number[] = [];
    for (let t = leaf; t >= 0; t = parent[t] as number) path.unshift(t);
    return path;
  });
}

/** A decoder with grouped queries whose weights are large enough for attention to matter. */
function makeModel(position: "rope" | "learned"): Transformer {
  const model = new Transformer(new Random(7), {
    ...{ vocab: VOCAB, layers: 2, width: 32, heads: 4, kvHeads: 2, isTied: false },
    ...{ position, maxDepth: TOKENS },
  });
  const random = randoms(13);
  for (const [name, state] of namedParameters(model)) {
    if (!/norm/i.test(name)) state.write(shared, random.floats(state.size, -0.4, 0.4));
  }
  return model;
}

/**
 * The log-prob of each token, read at its parent, and the gradient of Σ weight · log-prob. Roots have no parent: 0.
 *
 * Inputs are data: tokens, the row that predicts each of them, weights.
 */
function scorer(model: Transformer, end: Uint32Array, depth: Uint32Array) {
  return compile((tokens: Tensor, parents: Tensor, labels: Tensor, weights: Tensor) => {
    const hidden = model.hidden(tokens, toForest({ end, depth }));
    const { logprob } = lmHead(embedding(parents, hidden), model.head, labels);
    const grads = grad(logprob.mul(weights).sum(), parametersOf(model));
    return { logprob, grads };
  });
}

async function score(
  model: Transformer,
  forest: { parent: Int32Array; end: Uint32Array; depth: Uint32Array },
  tokens: ArrayLike<number>,
  weights: ArrayLike<number>,
): Promise<{ logprobs: Float32Array; grads: Float32Array[] }> {
  const { parent, end, depth } = forest;
  const run = scorer(model, end, depth);
  const labels = Int32Array.from(tokens, (token, t) => ((parent[t] as number) < 0 ? -1 : token));
  const result = await run(
    tensor(Uint32Array.from(tokens)),
    tensor(Uint32Array.from(parent, (p) => Math.max(0, p))),
    tensor(labels),
    tensor(Float32Array.from(weights)),
  );
  const grads = await Promise.all(result.grads.map((g) => g.read()));
  const logprobs = (await result.logprob.read()) as Float32Array;
  run[Symbol.dispose]();
  return { logprobs, grads: grads as Float32Array[] };
}

describe("a forest of trees", () => {
  it.each([
    [1, "rope"],
    [2, "rope"],
    [3, "learned"],
  ] as const)(
    "scores and learns as its independent sequences do (tree %i, %s)",
    async (seed, position) => {
      const model = makeModel(position);
      const random = randoms(seed);
      const forest = randomForest(TOKENS, random.next, 0.85, 0.03);
      const tokens = random.integers(TOKENS, 0, VOCAB);
      const weights = random.floats(TOKENS);
      const tree = await score(model, forest, tokens, weights);

      const paths = pathsOf(forest.parent);
      const places = paths.flat();
      const timesSeen = new Array<number>(TOKENS).fill(0);
      for (const t of places) timesSeen[t] = (timesSeen[t] as number) + 1;
      expect(paths.length).toBeGreaterThan(5);
      expect(places.length).toBeGreaterThan(1.5 * TOKENS);
      const apart = await score(
        model,
        packSequences(paths.map((path) => path.length)),
        places.map((t) => tokens[t] as number),
        places.map((t) => (weights[t] as number) / (timesSeen[t] as number)),
      );

      const expected = places.map((t) => tree.logprobs[t] as number);
      expectClose(apart.logprobs, expected, TOLERANCES.logProb, "log-probs");
      const branching = forest.parent.filter((p, t) => p >= 0 && p !== t - 1);
      expect(branching.length).toBeGreaterThan(4); // tokens that are first after a branch
      expect(new Set(expected).size).toBeGreaterThan(TOKENS / 2);
      for (const [i, p] of parametersOf(model).entries()) {
        const [a, b] = [tree.grads[i] ?? [], apart.grads[i] ?? []];
        expectClose(a, b, TOLERANCES.parameterGradient, `gradient of ${p.name}`);
        expect(Math.max(...a)).toBeGreaterThan(0);
      }
    },
  );

  it("FEATURE 14: sends no gradient at all from one branch to another", async () => {
    const model = makeModel("rope");
    const random = randoms(4);
    const forest = randomForest(TOKENS, random.next, 0.8, 0.05);
    const tokens = Uint32Array.from({ length: TOKENS }, (_, t) => t); // a row of the table for each token
    const rows = parametersOf(model).findIndex((p) => p.name === "embedding.weight");
    for (const e of [17, 40, 63, 79]) {
      const weights = Array.from(tokens, (t) => (t === e ? 1 : 0));
      const { grads } = await score(model, forest, tokens, weights);
      const table = grads[rows] as Float32Array;
      const above = forest.parent[e] as number;
      for (const t of tokens) {
        const row = table.subarray(32 * t, 32 * (t + 1));
        const isSeen = t <= above && above < (forest.end[t] as number);
        if (isSeen) expect(row.some((x) => x !== 0)).toBe(true);
        else expect(row.every((x) => x === 0)).toBe(true);
      }
    }
  });
});

describe("packSequences", () => {
  it("packs chains one behind the other", () => {
    expect(packSequences([3, 1, 2])).toEqual({
      parent: Int32Array.of(-1, 0, 1, -1, -1, 4),
      end: Uint32Array.of(3, 3, 3, 4, 6, 6),
      depth: Uint32Array.of(0, 1, 2, 0, 0, 1),
    });
  });

  it("refuses lengths that are no positive integers", () => {
    for (const length of [0, -1, 1.5]) {
      expect(() => packSequences([2, length])).toThrow(
        expect.objectContaining({ code: "argument_invalid" }),
      );
    }
  });

  it("is what chainForest makes tensors of", async () => {
    const { end, depth } = chainForest([2, 3]);
    expect([...(await end.read())]).toEqual([2, 2, 5, 5, 5]);
    expect([...(await depth.read())]).toEqual([0, 1, 0, 1, 2]);
  });
});

describe("forestFromParents", () => {
  it("finds ends and depths of random forests", () => {
    for (let seed = 0; seed < 20; seed++) {
      const { parent } = randomForest(60, randoms(seed).next);
      expect(forestFromParents(parent)).toEqual(oracle(parent));
    }
  });

  it("refuses tokens that are not in depth-first pre-order", () => {
    for (const parents of [[1, -1], [-1, -1, 0], [-1, 0, 0, 1], [-1, 5], [-2]]) {
      expect(() => forestFromParents(parents)).toThrow(
        expect.objectContaining({ code: "argument_invalid" }),
      );
    }
  });

  it("takes an empty forest", () => {
    expect(forestFromParents([]).end).toHaveLength(0);
  });
});
