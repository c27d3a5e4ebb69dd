/** jax-js on WebGPU or WASM: the tasks of the benchmarks in its own terms. Its operations consume their operands. */
import {
  DECODER,
  decoderBatch,
  decoderWeights,
  LAYER_WEIGHTS,
  type Weight,
} from "../../../src/bench/decoder-data.ts";
import { type MatmulSpec, matmulOperands } from "../../../src/bench/matmul.ts";
import { adapterIdle } from "./browser-globals.ts";
import type { PeerEngine, Run } from "./engine.ts";

interface JaxArray {
  /** The same array once more, for an operation to consume. */
  readonly ref: JaxArray;
  readonly shape: number[];
  add(x: JaxArray | number): JaxArray;
  sub(x: JaxArray): JaxArray;
  mul(x: JaxArray | number): JaxArray;
  div(x: JaxArray): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  transpose(axes: readonly number[]): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}

type A = JaxArray;
interface Tree {
  readonly [name: string]: A | readonly Tree[];
}

/** The part of jax-js that is used. */
interface Jax {
  init(backend: string): Promise<string[]>;
  defaultDevice(backend: string): void;
  blockUntilReady<T>(tree: T): Promise<T>;
  jit<F>(fn: F): F;
  valueAndGrad<R extends unknown[]>(
    fn: (weights: Tree, ...rest: R) => A,
  ): (weights: Tree, ...rest: R) => [A, Tree];
  readonly tree: {
    ref<T>(tree: T): T;
    map(fn: (...leaves: A[]) => A, ...trees: Tree[]): Tree;
    leaves(tree: Tree): A[];
  };
  readonly nn: { softmax(x: A): A; logSoftmax(x: A): A };
  readonly numpy: {
    array(data: Float32Array | readonly number[]): A;
    zeros(shape: readonly number[]): A;
    matmul(a: A, b: A): A;
    transpose(a: A, axes?: readonly number[]): A;
    mean(a: A, axis: number, options: { keepdims: boolean }): A;
    sum(a: A): A;
    square(a: A): A;
    sqrt(a: A): A;
    tanh(a: A): A;
    unstack(a: A, axis: number): [A, A, A];
  };
}

/** Opens jax-js. Threads need `provideWorkers` before. */
export async function openJax(backend: "webgpu" | "wasm", version: string): Promise<PeerEngine> {
  const name = "@jax-js/jax"; // not a package of this repository: see README.md
  const jax = (await import(name)) as Jax;
  await jax.init(backend);
  jax.defaultDevice(backend);
  return {
    version,
    matmul: (spec) => matmul(jax, backend, spec),
    train: () => train(jax),
  };
}

async function matmul(
  { numpy: np, jit, blockUntilReady }: Jax,
  backend: "webgpu" | "wasm",
  { mode, m, n, k, ...rest }: MatmulSpec,
): Promise<{ run: Run; result: Float32Array }> {
  const operands = matmulOperands({ mode, m, n, k, ...rest });
  const a = np.array(operands.a).reshape(mode === "TN" ? [k, m] : [m, k]);
  const b = np.array(operands.b).reshape(mode === "NT" ? [n, k] : [k, n]);
  const multiply = jit((x: A, y: A) =>
    np.matmul(mode === "TN" ? np.transpose(x) : x, mode === "NT" ? np.transpose(y) : y),
  );
  await blockUntilReady([a.ref, b.ref]);
  const result = await multiply(a.ref, b.ref).data();
  const run: Run = async (calls) => {
    for (let i = 0; i < calls; i++) {
      const product = multiply(a.ref, b.ref);
      // a WASM product is not started before somebody waits for it
      if (backend === "wasm" || i === calls - 1) await blockUntilReady(product.ref);
      else void blockUntilReady(product.ref);
      product.dispose();
    }
    await adapterIdle();
  };
  return { run, result };
}

/** Decays of Adam's moments, learning rate, epsilon. */
const ADAM = { beta1: 0.9, beta2: 0.999, lr: 1e-3, epsilon: 1e-8 };

async function train(jax: Jax): ReturnType<PeerEngine["train"]> {
  const { jit, numpy: np, tree, blockUntilReady } = jax;
  const { beta1, beta2, lr, epsilon } = ADAM;
  const { vocab, tokens } = DECODER;
  const { ids, labels } = decoderBatch();
  const count = ids.length;
  const hidden = new Float32Array(tokens * tokens);
  for (let i = 0; i < tokens; i++) hidden.fill(-1e9, i * tokens + i + 1, (i + 1) * tokens);
  const data = [
    np.array(oneHot(ids, vocab)).reshape([count, vocab]),
    np.array(oneHot(labels, vocab)).reshape([count, vocab]),
    np.array(hidden).reshape([1, 1, tokens, tokens]),
  ] as const;
  const refs = (): [A, A, A] => [data[0].ref, data[1].ref, data[2].ref];
  const valueAndGrad = jax.valueAndGrad(lossFunction(jax));

  let weights = weightTree(np);
  const first = jit((p: Tree, x: A, y: A, mask: A) => {
    const [value, grads] = valueAndGrad(p, x, y, mask);
    const [start, ...others] = tree.leaves(grads).map((g) => np.sum(np.square(g)));
    return { value, squares: others.reduce((sum, s) => sum.add(s), start as A) };
  })(tree.ref(weights), ...refs());
  const firstLoss = (await first.value.data())[0] ?? Number.NaN;
  const gradNorm = Math.sqrt((await first.squares.data())[0] ?? Number.NaN);

  const adam = jit((p: Tree, m: Tree, v: Tree, rate: A, x: A, y: A, mask: A) => {
    const [value, grads] = valueAndGrad(tree.ref(p), x, y, mask);
    const m2 = tree.map((a, g) => a.mul(beta1).add(g.mul(1 - beta1)), m, tree.ref(grads));
    const v2 = tree.map((a, g) => a.mul(beta2).add(np.square(g).mul(1 - beta2)), v, grads);
    const update = (w: A, a: A, b: A): A => w.sub(a.mul(rate.ref).div(np.sqrt(b).add(epsilon)));
    const p2 = tree.map(update, p, tree.ref(m2), tree.ref(v2));
    rate.dispose();
    return { value, p2, m2, v2 };
  });
  const zeros = (): Tree => tree.map((w) => np.zeros(w.shape), tree.ref(weights));
  let [m, v] = [zeros(), zeros()];
  let steps = 0;
  const step = async (): Promise<number> => {
    steps++;
    const rate = (lr * Math.sqrt(1 - beta2 ** steps)) / (1 - beta1 ** steps);
    const done = adam(weights, m, v, np.array([rate]).reshape([]), ...refs());
    [weights, m, v] = [done.p2, done.m2, done.v2];
    const loss = (await done.value.data())[0] ?? Number.NaN;
    await blockUntilReady(tree.ref(weights));
    await adapterIdle();
    return loss;
  };
  let lossAfter12 = Number.NaN;
  for (let i = 0; i < 12; i++) lossAfter12 = await step();
  const run: Run = async (calls) => {
    for (let i = 0; i < calls; i++) await step();
  };
  return { run, result: { firstLoss, gradNorm, lossAfter12 } };
}

function oneHot(ids: Int32Array, vocab: number): Float32Array {
  const rows = new Float32Array(ids.length * vocab);
  ids.forEach((id, i) => {
    rows[i * vocab + id] = 1;
  });
  return rows;
}

function weightTree(np: Jax["numpy"]): Tree {
  const all = decoderWeights();
  const array = (name: string): A => {
    const { shape, data } = all[name] as Weight;
    return np.array(data).reshape(shape);
  };
  const layers = Array.from({ length: DECODER.layers }, (_, layer) =>
    Object.fromEntries(LAYER_WEIGHTS.map((name) => [name, array(`h${layer}.${name}`)])),
  );
  const names = ["wte", "wpe", "lnfg", "lnfb"];
  return { ...Object.fromEntries(names.map((name) => [name, array(name)])), layers };
}

function lossFunction({ numpy: np, nn }: Jax): (p: Tree, x: A, y: A, mask: A) => A {
  const { tokens, batch, width, heads } = DECODER;
  const count = batch * tokens;
  const headDim = width / heads;
  const norm = (x: A, weight: A, bias: A): A => {
    const centered = x.sub(np.mean(x.ref, -1, { keepdims: true }));
    const variance = np.mean(np.square(centered.ref), -1, { keepdims: true });
    return centered
      .div(np.sqrt(variance.add(1e-5)))
      .mul(weight)
      .add(bias);
  };
  const gelu = (x: A): A => {
    const inner = x.ref.add(x.ref.mul(x.ref).mul(x.ref).mul(0.044715));
    return x.mul(0.5).mul(np.tanh(inner.mul(0.7978845608)).add(1));
  };
  return (p, x, y, mask) => {
    const w = (name: string): A => p[name] as A;
    let h = np.matmul(x, w("wte").ref).reshape([batch, tokens, width]);
    h = h.add(w("wpe")).reshape([count, width]);
    for (const layer of p["layers"] as readonly Tree[]) {
      const l = (name: string): A => layer[name] as A;
      const linear = (input: A, name: string): A =>
        np.matmul(input, l(`${name}w`)).add(l(`${name}b`));
      const qkv = linear(norm(h.ref, l("ln1g"), l("ln1b")), "qkv")
        .reshape([batch, tokens, 3, heads, headDim])
        .transpose([2, 0, 3, 1, 4]);
      const [q, k, v] = np.unstack(qkv, 0);
      const scores = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(1 / Math.sqrt(headDim));
      const attended = np.matmul(nn.softmax(scores.add(mask.ref)), v);
      h = h.add(linear(attended.transpose([0, 2, 1, 3]).reshape([count, width]), "p"));
      const f = gelu(linear(norm(h.ref, l("ln2g"), l("ln2b")), "f1"));
      h = h.add(linear(f, "f2"));
    }
    mask.dispose();
    const logits = np.matmul(norm(h, w("lnfg"), w("lnfb")), np.transpose(w("wte")));
    return np.sum(nn.logSoftmax(logits).mul(y)).mul(-1 / count);
  };
}
