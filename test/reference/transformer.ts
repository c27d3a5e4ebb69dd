/** Oracle of the decoder of `engine/nn/transformer.ts` in f64: log-probs of labels, made of the other oracles. */
import { attention } from "./attention.ts";
import { gated } from "./gated.ts";
import { layerNorm } from "./layer-norm.ts";
import { lmHead } from "./lm-head.ts";
import { rmsNorm } from "./rms-norm.ts";
import { rope } from "./rope.ts";

/** Sizes and choices, by the names of the engine's options. */
export interface DecoderShape {
  readonly vocab: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly mlpWidth: number;
  readonly mlp: "gelu" | "swiglu" | "geglu";
  readonly norm: "rms" | "layer";
  readonly position: "rope" | "learned";
}

/** Tokens with their place in a forest, and the label of each. */
export interface DecoderBatch {
  readonly tokens: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  readonly parent: Int32Array;
  readonly end: Uint32Array;
  readonly depth: Uint32Array;
}

type Weights = ReadonlyMap<string, ArrayLike<number>>;

/** x [rows, inputs] · weight [inputs, outputs] + bias, where there is one. */
function linear(weights: Weights, name: string, x: Float64Array, inputs: number): Float64Array {
  const weight = weights.get(`${name}.weight`) as ArrayLike<number>;
  const bias = weights.get(`${name}.bias`);
  const outputs = weight.length / inputs;
  return Float64Array.from({ length: (x.length / inputs) * outputs }, (_, i) => {
    const [row, column] = [Math.floor(i / outputs), i % outputs];
    let sum = Number(bias?.[column] ?? 0);
    for (let k = 0; k < inputs; k++) {
      sum += Number(x[row * inputs + k]) * Number(weight[k * outputs + column]);
    }
    return sum;
  });
}

function norm(weights: Weights, name: string, x: Float64Array, shape: DecoderShape): Float64Array {
  const { width } = shape;
  const input = { rows: x.length / width, cols: width, x, eps: 1e-5 };
  const weight = weights.get(`${name}.weight`) as ArrayLike<number>;
  if (shape.norm === "rms") return rmsNorm({ ...input, weight }).y;
  return layerNorm({ ...input, weight, bias: weights.get(`${name}.bias`) as Float64Array }).y;
}

/** Columns [from, to) of rows as wide as `width`. */
function columns(x: Float64Array, width: number, from: number, to: number): Float64Array {
  return x.filter((_, i) => i % width >= from && i % width < to);
}

function attend(
  weights: Weights,
  name: string,
  x: Float64Array,
  shape: DecoderShape,
  batch: DecoderBatch,
): Float64Array {
  const { width, heads, kvHeads, headDim } = shape;
  const qkv = linear(weights, `${name}.qkv`, x, width);
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const packed = queries + 2 * keys;
  const turn = (part: Float64Array, count: number): Float64Array => {
    if (shape.position !== "rope") return part;
    const tokens = batch.depth.length;
    const frequencies = Array.from(
      { length: headDim / 2 },
      (_, i) => 10_000 ** ((-2 * i) / headDim),
    );
    const size = { tokens, heads: count, headSize: headDim };
    return rope({ ...size, x: part, positions: batch.depth, frequencies });
  };
  const inputs = {
    q: turn(columns(qkv, packed, 0, queries), heads),
    k: turn(columns(qkv, packed, queries, queries + keys), kvHeads),
    v: columns(qkv, packed, queries + keys, packed),
  };
  const sizes = { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim), window: 0, softcap: 0 };
  return linear(weights, `${name}.output`, attention(sizes, batch, inputs).out, queries);
}

function transform(
  weights: Weights,
  name: string,
  x: Float64Array,
  shape: DecoderShape,
): Float64Array {
  const { width, mlpWidth, mlp } = shape;
  if (mlp === "gelu") {
    const up = linear(weights, `${name}.up`, x, width);
    const ones = new Float64Array(up.length).fill(1);
    return linear(weights, `${name}.down`, gated("gelu_tanh", up, ones), mlpWidth);
  }
  const both = linear(weights, `${name}.gateUp`, x, width);
  const gate = columns(both, 2 * mlpWidth, 0, mlpWidth);
  const up = columns(both, 2 * mlpWidth, mlpWidth, 2 * mlpWidth);
  const activation = mlp === "swiglu" ? "silu" : "gelu_tanh";
  return linear(weights, `${name}.down`, gated(activation, gate, up), mlpWidth);
}

/** Log-prob of each token's label; 0 where there is none. */
export function decoderLogProbs(
  weights: Weights,
  shape: DecoderShape,
  batch: DecoderBatch,
): Float64Array {
  const { width, vocab } = shape;
  const table = weights.get("embedding.weight") as ArrayLike<number>;
  const positions = weights.get("positions.weight");
  const head = (weights.get("head") ?? table) as ArrayLike<number>;
  const count = batch.tokens.length;
  let x: Float64Array = Float64Array.from({ length: count * width }, (_, i) => {
    const [t, c] = [Math.floor(i / width), i % width];
    const place = positions?.[Number(batch.depth[t]) * width + c] ?? 0;
    return Number(table[Number(batch.tokens[t]) * width + c]) + Number(place);
  });
  const plus = (y: Float64Array): Float64Array => x.map((value, i) => value + Number(y[i]));
  for (let l = 0; l < shape.layers; l++) {
    const name = `layers.${l}`;
    const seen = norm(weights, `${name}.attentionNorm`, x, shape);
    x = plus(attend(weights, `${name}.attention`, seen, shape, batch));
    x = plus(transform(weights, `${name}.mlp`, norm(weights, `${name}.mlpNorm`, x, shape), shape));
  }
  const hidden = norm(weights, "norm", x, shape);
  const logits = Float64Array.from({ length: count * vocab }, (_, i) => {
    const [row, id] = [Math.floor(i / vocab), i % vocab];
    let sum = 0;
    for (let c = 0; c < width; c++)
      sum += Number(hidden[row * width + c]) * Number(head[id * width + c]);
    return sum;
  });
  const plain = { softcap: 0, temperature: 1 };
  return lmHead({ logits, labels: batch.labels, cols: vocab }, plain).logprob;
}
