/** Kernels over rows: norms, softmax, scans; short rows, long ones (split otherwise), and rows of odd length. */
import {
  addLayerNorm,
  addRmsNorm,
  argMax,
  cumulativeSum,
  type Device,
  layerNorm,
  logSoftmax,
  logSumExp,
  rmsNorm,
  softmax,
  type Tensor,
  tensor,
  topK,
} from "../../../engine/index.ts";
import { generator } from "../../bench/numbers.ts";
import {
  add,
  affine,
  div,
  dot,
  exp,
  log,
  mul,
  rowsOf,
  type Scalar,
  sqrt,
  sub,
  sum,
} from "../scalar.ts";
import { differentiable, operands, type SelfTest, type Values } from "../self-test.ts";

interface Size {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
}

const SIZES: readonly Size[] = [
  { name: "short rows", rows: 19, cols: 36 },
  { name: "odd rows", rows: 5, cols: 33 },
  { name: "long rows", rows: 2, cols: 8196 },
];

/** The tests. */
export function rowTests(): SelfTest[] {
  return SIZES.flatMap((size) => [
    layerNormTest(size),
    addLayerNormTest(size),
    rmsNormTest(size),
    addRmsNormTest(size),
    mapTest(size, "softmax", softmax, softmaxRow),
    mapTest(size, "log softmax", logSoftmax, (row) => {
      const lse = logSumExpRow(row);
      return row.map((x) => sub(x, lse));
    }),
    mapTest(size, "log-sum-exp", logSumExp, (row) => [logSumExpRow(row)]),
    mapTest(size, "cumulative sum", cumulativeSum, runningSums),
    selectionTest(size),
  ]);
}

const EPS = 1e-5;

/** (s − mean) / √(variance + eps). */
function centered(row: readonly Scalar[]): Scalar[] {
  const mean = affine(sum(row), 1 / row.length);
  return scaledToUnit(row.map((x) => sub(x, mean)));
}

/** s / √(mean s² + eps). */
function scaledToUnit(row: readonly Scalar[]): Scalar[] {
  const root = sqrt(affine(dot(row, row), 1 / row.length, EPS));
  return row.map((x) => div(x, root));
}

function layerNormTest({ name, rows, cols }: Size): SelfTest {
  return differentiable({
    family: "layer norm",
    name,
    inputs: operands({ x: [rows, cols], weight: [cols], bias: [cols] }),
    engine: ({ x, weight, bias }) => layerNorm(x, weight, { bias: bias, eps: EPS }),
    definition: ({ x, weight, bias }) =>
      rowsOf(x, cols).flatMap((row) =>
        centered(row).map((u, c) => add(mul(u, weight[c] as Scalar), bias[c] as Scalar)),
      ),
  });
}

function addLayerNormTest({ name, rows, cols }: Size): SelfTest {
  return differentiable({
    family: "layer norm",
    name: `${name} with a residual`,
    inputs: operands({ x: [rows, cols], residual: [rows, cols], weight: [cols] }),
    engine: ({ x, residual, weight }) => addLayerNorm(x, residual, weight, { eps: EPS }),
    definition: ({ x, residual, weight }) => {
      const total = x.map((value, i) => add(value, residual[i] as Scalar));
      const normalized = rowsOf(total, cols).flatMap((row) =>
        centered(row).map((u, c) => mul(u, weight[c] as Scalar)),
      );
      return [normalized, total];
    },
  });
}

function rmsNormTest({ name, rows, cols }: Size): SelfTest {
  return differentiable({
    family: "rms norm",
    name,
    inputs: operands({ x: [rows, cols], weight: [cols] }),
    engine: ({ x, weight }) => rmsNorm(x, weight, { eps: EPS, weightOffset: 1 }),
    definition: ({ x, weight }) =>
      rowsOf(x, cols).flatMap((row) =>
        scaledToUnit(row).map((u, c) => mul(u, affine(weight[c] as Scalar, 1, 1))),
      ),
  });
}

function addRmsNormTest({ name, rows, cols }: Size): SelfTest {
  return differentiable({
    family: "rms norm",
    name: `${name} with a residual`,
    inputs: operands({ x: [rows, cols], residual: [rows, cols], weight: [cols] }),
    engine: ({ x, residual, weight }) => addRmsNorm(x, residual, weight, { eps: EPS }),
    definition: ({ x, residual, weight }) => {
      const total = x.map((value, i) => add(value, residual[i] as Scalar));
      const normalized = rowsOf(total, cols).flatMap((row) =>
        scaledToUnit(row).map((u, c) => mul(u, weight[c] as Scalar)),
      );
      return [normalized, total];
    },
  });
}

function softmaxRow(row: readonly Scalar[]): Scalar[] {
  const powers = row.map(exp);
  const total = sum(powers);
  return powers.map((p) => div(p, total));
}

function logSumExpRow(row: readonly Scalar[]): Scalar {
  return log(sum(row.map(exp)));
}

function runningSums(row: readonly Scalar[]): Scalar[] {
  let total: Scalar | undefined;
  return row.map((x) => {
    total = total ? add(total, x) : x;
    return total;
  });
}

function mapTest(
  { name, rows, cols }: Size,
  family: string,
  engine: (x: Tensor) => Tensor,
  definition: (row: readonly Scalar[]) => Scalar[],
): SelfTest {
  return differentiable({
    family,
    name,
    inputs: operands({ x: [rows, cols] }),
    engine: ({ x }) => engine(x),
    definition: ({ x }) => rowsOf(x, cols).flatMap(definition),
  });
}

/** Where the largest element is, and the five largest. */
function selectionTest({ name, rows, cols }: Size): SelfTest {
  const next = generator(rows * cols);
  // a permutation of distinct numbers: the order is beyond doubt
  const x = Float32Array.from({ length: rows * cols }, (_, i) => i);
  for (let i = x.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [x[i], x[j]] = [x[j] as number, x[i] as number];
  }
  return {
    family: "arg max and top k",
    name,
    tolerance: 1e-9,
    actual: async (_device: Device): Promise<Values[]> => {
      const matrix = tensor(x, [rows, cols]);
      const { values, indices } = topK(matrix, 5);
      return [
        { name: "arg max", values: await argMax(matrix).read() },
        { name: "values", values: await values.read() },
        { name: "indices", values: await indices.read() },
      ];
    },
    expected: () => {
      const best = rowsOf([...x], cols).map((row) =>
        row
          .map((value, index) => ({ value, index }))
          .sort((a, b) => b.value - a.value)
          .slice(0, 5),
      );
      return [
        { name: "arg max", values: best.map(([first]) => first?.index ?? -1) },
        { name: "values", values: best.flat().map((b) => b.value) },
        { name: "indices", values: best.flat().map((b) => b.index) },
      ];
    },
  };
}
