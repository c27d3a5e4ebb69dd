/** Forest attention, forward and backward: packed trees, grouped heads, a window, a soft cap, one packed operand. */
import {
  type AttentionOptions,
  attention,
  forestFromParents,
  packedAttention,
  toForest,
} from "../../../engine/index.ts";
import { generator } from "../../bench/numbers.ts";
import { affine, div, dot, exp, type Scalar, sum, tanh } from "../scalar.ts";
import { differentiable, operands, type SelfTest } from "../self-test.ts";

/** Tokens and heads. */
export interface Heads {
  readonly tokens: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** The tests. */
export function attentionTests(): SelfTest[] {
  const small = { tokens: 45, heads: 4, kvHeads: 2, headDim: 8 };
  const wide = { tokens: 35, heads: 1, kvHeads: 1, headDim: 64 };
  return [
    separateTest("two key heads, size 8", small, {}),
    separateTest("window and soft cap", small, { window: 4, softcap: 2 }),
    separateTest("size 64", wide, {}),
    packedTest("packed operand", small),
  ];
}

/** Parents of tokens in depth-first order: each continues the one before, goes back up to branch, or starts a tree. */
function treeParents(tokens: number): Int32Array {
  const next = generator(17);
  const parents = new Int32Array(tokens);
  for (let t = 0; t < tokens; t++) {
    let parent = t - 1;
    while (parent >= 0 && next() < 0.2) parent = parents[parent] ?? -1;
    parents[t] = parent;
  }
  return parents;
}

/** A token and those above it, the nearest first. */
function pathUp(parents: Int32Array, token: number): number[] {
  const path: number[] = [];
  for (let t = token; t >= 0; t = parents[t] ?? -1) path.push(t);
  return path;
}

function separateTest(
  name: string,
  heads: Heads,
  options: Omit<AttentionOptions, "end" | "depth">,
): SelfTest {
  const { tokens, heads: count, kvHeads, headDim } = heads;
  const parents = treeParents(tokens);
  const forest = forestFromParents(parents);
  return differentiable({
    family: "attention",
    name,
    inputs: operands({
      q: [tokens, count, headDim],
      k: [tokens, kvHeads, headDim],
      v: [tokens, kvHeads, headDim],
    }),
    engine: ({ q, k, v }) => attention(q, k, v, { ...toForest(forest), ...options }),
    definition: ({ q, k, v }) => {
      const head = (x: readonly Scalar[], width: number, t: number, h: number): Scalar[] =>
        x.slice((t * width + h) * headDim, (t * width + h + 1) * headDim);
      return attended(heads, parents, options, {
        q: (t, h) => head(q, count, t, h),
        k: (t, h) => head(k, kvHeads, t, h),
        v: (t, h) => head(v, kvHeads, t, h),
      });
    },
  });
}

function packedTest(name: string, heads: Heads): SelfTest {
  const { tokens, heads: count, kvHeads, headDim } = heads;
  const width = count + 2 * kvHeads;
  const parents = treeParents(tokens);
  const forest = forestFromParents(parents);
  return differentiable({
    family: "attention",
    name,
    inputs: operands({ qkv: [tokens, width * headDim] }),
    engine: ({ qkv }) => packedAttention(qkv, heads, toForest(forest)),
    definition: ({ qkv }) => {
      const column = (first: number) => (t: number, h: number) =>
        qkv.slice((t * width + first + h) * headDim, (t * width + first + h + 1) * headDim);
      const at = { q: column(0), k: column(count), v: column(count + kvHeads) };
      return attended(heads, parents, {}, at);
    },
  });
}

type Head = (token: number, head: number) => Scalar[];

/** The result, by definition: each token sees itself and those above it. */
export function attended(
  { tokens, heads, kvHeads, headDim }: Heads,
  parents: Int32Array,
  { window = 0, softcap = 0 }: Omit<AttentionOptions, "end" | "depth">,
  { q, k, v }: { readonly q: Head; readonly k: Head; readonly v: Head },
): Scalar[] {
  const out: Scalar[] = [];
  for (let query = 0; query < tokens; query++) {
    const seen = pathUp(parents, query).slice(0, window || tokens);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor((h * kvHeads) / heads);
      const row = q(query, h);
      const weights = seen.map((key) => {
        const score = affine(dot(row, k(key, kvHead)), 1 / Math.sqrt(headDim));
        return exp(softcap > 0 ? affine(tanh(affine(score, 1 / softcap)), softcap) : score);
      });
      const total = sum(weights);
      const values = seen.map((key) => v(key, kvHead));
      for (let d = 0; d < headDim; d++) {
        const column = values.map((value) => value[d] as Scalar);
        out.push(div(dot(weights, column), total));
      }
    }
  }
  return out;
}
