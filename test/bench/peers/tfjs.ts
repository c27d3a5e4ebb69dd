/** TensorFlow.js on WebGPU: the tasks of the benchmarks in its own terms. */
import { createRequire } from "node:module";
import { DECODER, decoderBatch, decoderWeights } from "../../../src/bench/decoder-data.ts";
import { type MatmulSpec, matmulOperands } from "../../../src/bench/matmul.ts";
import { adapterIdle } from "./browser-globals.ts";
import type { PeerEngine, Run } from "./engine.ts";

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface TfBackend {
  endComputePassEncoder(): void;
  submitQueue(): void;
  readonly commandEncoder?: unknown;
}

type T = TfTensor;

/** The part of tfjs-core that is used. */
interface Tf {
  readonly version_core: string;
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  backend(): TfBackend;
  tensor(data: Float32Array | Int32Array, shape: readonly number[], dtype?: "int32"): T;
  variable(initial: T, trainable: boolean, name: string): T;
  tidy<R>(fn: () => R): R;
  variableGrads(fn: () => T, list: readonly T[]): { value: T; grads: Record<string, T> };
  readonly train: {
    adam(
      lr: number,
      beta1: number,
      beta2: number,
      eps: number,
    ): { minimize(fn: () => T, returnCost: true, list: readonly T[]): T };
  };
  matMul(a: T, b: T, transposeA?: boolean, transposeB?: boolean): T;
  add(a: T | number, b: T | number): T;
  sub(a: T, b: T): T;
  mul(a: T | number, b: T | number): T;
  div(a: T, b: number): T;
  neg(a: T): T;
  tanh(a: T): T;
  rsqrt(a: T): T;
  mean(a: T, axis: number, keepDims: boolean): T;
  sum(a: T): T;
  softmax(a: T): T;
  logSoftmax(a: T, axis: number): T;
  gather(a: T, ids: T): T;
  reshape(a: T, shape: readonly number[]): T;
  transpose(a: T, axes: readonly number[]): T;
  unstack(a: T, axis: number): [T, T, T];
}

/** Opens TensorFlow.js from the bundle that `install.ts` made. */
export async function openTfjs(bundle: string): Promise<PeerEngine> {
  const { tf } = createRequire(import.meta.url)(bundle) as { readonly tf: Tf };
  await tf.setBackend("webgpu");
  await tf.ready();
  const idle = async (): Promise<void> => {
    const backend = tf.backend();
    if (backend.commandEncoder) {
      backend.endComputePassEncoder();
      backend.submitQueue();
    }
    await adapterIdle();
  };
  return {
    version: tf.version_core,
    matmul: (spec) => matmul(tf, idle, spec),
    train: () => train(tf, idle),
  };
}

async function matmul(
  tf: Tf,
  idle: () => Promise<void>,
  { mode, m, n, k, ...rest }: MatmulSpec,
): Promise<{ run: Run; result: Float32Array }> {
  const operands = matmulOperands({ mode, m, n, k, ...rest });
  const a = tf.tensor(operands.a, mode === "TN" ? [k, m] : [m, k]);
  const b = tf.tensor(operands.b, mode === "NT" ? [n, k] : [k, n]);
  const multiply = (): T => tf.matMul(a, b, mode === "TN", mode === "NT");
  const product = multiply();
  const result = await product.data();
  product.dispose();
  const run: Run = async (calls) => {
    for (let i = 0; i < calls; i++) multiply().dispose();
    await idle();
  };
  return { run, result };
}

async function train(tf: Tf, idle: () => Promise<void>): ReturnType<PeerEngine["train"]> {
  const { vocab, tokens, batch } = DECODER;
  const weights: Record<string, T> = {};
  for (const [name, { shape, data }] of Object.entries(decoderWeights())) {
    weights[name] = tf.variable(tf.tensor(data, shape), true, name);
  }
  const list = Object.values(weights);
  const { ids, labels } = decoderBatch();
  const oneHot = new Float32Array(labels.length * vocab);
  labels.forEach((label, i) => {
    oneHot[i * vocab + label] = 1;
  });
  const hidden = new Float32Array(tokens * tokens);
  for (let i = 0; i < tokens; i++) hidden.fill(-1e9, i * tokens + i + 1, (i + 1) * tokens);
  const loss = lossFunction(tf, weights, {
    ids: tf.tensor(ids, [batch, tokens], "int32"),
    labels: tf.tensor(oneHot, [labels.length, vocab]),
    mask: tf.tensor(hidden, [1, 1, tokens, tokens]),
  });
  const { value, grads } = tf.variableGrads(loss, list);
  const firstLoss = (await value.data())[0] ?? Number.NaN;
  let squares = 0;
  for (const grad of Object.values(grads)) {
    for (const g of await grad.data()) squares += g * g;
    grad.dispose();
  }
  value.dispose();
  const optimizer = tf.train.adam(1e-3, 0.9, 0.999, 1e-8);
  const step = async (): Promise<number> => {
    const cost = optimizer.minimize(loss, true, list);
    const last = (await cost.data())[0] ?? Number.NaN;
    cost.dispose();
    await idle();
    return last;
  };
  let lossAfter12 = Number.NaN;
  for (let i = 0; i < 12; i++) lossAfter12 = await step();
  const run: Run = async (calls) => {
    for (let i = 0; i < calls; i++) await step();
  };
  return { run, result: { firstLoss, gradNorm: Math.sqrt(squares), lossAfter12 } };
}

function lossFunction(
  tf: Tf,
  weights: Readonly<Record<string, T>>,
  data: { readonly ids: T; readonly labels: T; readonly mask: T },
): () => T {
  const { tokens, batch, width, heads, layers } = DECODER;
  const count = batch * tokens;
  const headDim = width / heads;
  const w = (name: string): T => weights[name] as T;
  const norm = (x: T, weight: T, bias: T): T => {
    const centered = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.mul(centered, centered), -1, true);
    return tf.add(tf.mul(tf.mul(centered, tf.rsqrt(tf.add(variance, 1e-5))), weight), bias);
  };
  const gelu = (x: T): T => {
    const inner = tf.add(x, tf.mul(0.044715, tf.mul(x, tf.mul(x, x))));
    return tf.mul(tf.mul(x, 0.5), tf.add(1, tf.tanh(tf.mul(0.7978845608, inner))));
  };
  const linear = (x: T, weight: T, bias: T): T => tf.add(tf.matMul(x, weight), bias);
  return () => {
    let h = tf.reshape(tf.add(tf.gather(w("wte"), data.ids), w("wpe")), [count, width]);
    for (let layer = 0; layer < layers; layer++) {
      const p = (name: string): T => w(`h${layer}.${name}`);
      const qkv = linear(norm(h, p("ln1g"), p("ln1b")), p("qkvw"), p("qkvb"));
      const split = tf.reshape(qkv, [batch, tokens, 3, heads, headDim]);
      const [q, k, v] = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), 0);
      const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(headDim));
      const attended = tf.matMul(tf.softmax(tf.add(scores, data.mask)), v);
      const merged = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [count, width]);
      h = tf.add(h, linear(merged, p("pw"), p("pb")));
      const f = gelu(linear(norm(h, p("ln2g"), p("ln2b")), p("f1w"), p("f1b")));
      h = tf.add(h, linear(f, p("f2w"), p("f2b")));
    }
    const logits = tf.matMul(norm(h, w("lnfg"), w("lnfb")), w("wte"), false, true);
    return tf.neg(tf.div(tf.sum(tf.mul(tf.logSoftmax(logits, -1), data.labels)), count));
  };
}
