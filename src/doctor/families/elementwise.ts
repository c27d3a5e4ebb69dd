/** Kernels that the engine writes itself (fused maps and reductions), gated activations, and rotary embedding. */
import {
  concat,
  type Device,
  geglu,
  packedSwiglu,
  pad,
  rope,
  swiglu,
  type Tensor,
  take,
  tensor,
} from "../../../engine/index.ts";
import {
  add,
  affine,
  div,
  exp,
  largest,
  log,
  mul,
  rowsOf,
  Scalar,
  sub,
  sum,
  tanh,
} from "../scalar.ts";
import { differentiable, operands, type SelfTest } from "../self-test.ts";

/** The tests for a device. */
export function elementwiseTests(device: Device): SelfTest[] {
  return [
    mapTest("four at a time", 24, 36),
    mapTest("one at a time", 7, 33),
    ...(device.hasF16 ? [halfTest()] : []),
    viewTest(),
    reduceTest("rows", 24, 36, 1),
    reduceTest("columns", 24, 36, 0),
    reduceTest("odd columns", 7, 33, 0),
    reduceTest("long rows, in parts", 2, 20_000, 1),
    gatedTest("SwiGLU", swiglu, silu),
    gatedTest("GEGLU by tanh", geglu, geluTanh),
    gatedTest("GEGLU, exact", (gate, up) => geglu(gate, up, { form: "exact" }), geluExact),
    packedGatedTest(),
    ropeTest("halves", false),
    ropeTest("neighbours", true),
  ];
}

/** tanh(x·y + bias) · exp(x) − log(1 + y²), with a bias broadcast over rows, and x transposed. */
function mapTest(name: string, rows: number, cols: number): SelfTest {
  return differentiable({
    family: "fused maps",
    name,
    inputs: operands({ x: [cols, rows], y: [rows, cols], bias: [cols] }),
    engine: ({ x, y, bias }) => {
      const [a, b] = [x.transpose(), y];
      const curve = a.mul(b).add(bias).tanh();
      return curve.mul(a.exp()).sub(b.square().add(1).log());
    },
    definition: ({ x, y, bias }) =>
      y.map((b, i) => {
        const [r, c] = [Math.floor(i / cols), i % cols];
        const a = x[c * rows + r] as Scalar;
        const curve = tanh(add(mul(a, b), bias[c] as Scalar));
        return sub(mul(curve, exp(a)), log(affine(mul(b, b), 1, 1)));
      }),
  });
}

/** x·y + x in f16. */
function halfTest(): SelfTest {
  return differentiable({
    family: "fused maps",
    name: "f16",
    inputs: operands({ x: [7, 36], y: [7, 36] }),
    engine: ({ x, y }) => {
      const [a, b] = [x.cast("f16"), y.cast("f16")];
      return a.mul(b).add(a).cast("f32");
    },
    definition: ({ x, y }) => x.map((a, i) => add(mul(a, y[i] as Scalar), a)),
    tolerance: 2e-3,
  });
}

/** A slice, what lies beside it, and rows of another matrix by position; padded with zeros. */
function viewTest(): SelfTest {
  const [cols, ids] = [10, [3, 0, 3]];
  return differentiable({
    family: "fused maps",
    name: "slice, take, concat, pad",
    inputs: operands({ x: [6, cols], y: [4, cols] }),
    engine: ({ x, y }) => {
      const rows = concat([x.slice(0, 1, 4), take(y, tensor(Uint32Array.from(ids)))]);
      return pad(rows, [
        [0, 0],
        [1, 2],
      ]).mul(3);
    },
    definition: ({ x, y }) => {
      const rows = [...rowsOf(x, cols).slice(1, 4), ...ids.map((id) => rowsOf(y, cols)[id] ?? [])];
      const zero = new Scalar(0);
      return rows.flatMap((row) => [zero, ...row, zero, zero].map((value) => affine(value, 3)));
    },
  });
}

/** Sum, mean of squares and maximum along an axis, of a product that is fused into the reduction. */
function reduceTest(name: string, rows: number, cols: number, axis: 0 | 1): SelfTest {
  return differentiable({
    family: "fused reductions",
    name,
    inputs: operands({ x: [rows, cols], y: [rows, cols] }),
    engine: ({ x, y }) => {
      const product = x.mul(y);
      return [product.sum([axis]), product.square().mean([axis]), product.max([axis])];
    },
    definition: ({ x, y }) => {
      const products = rowsOf(
        x.map((a, i) => mul(a, y[i] as Scalar)),
        cols,
      );
      const lines =
        axis === 1
          ? products
          : Array.from({ length: cols }, (_, c) => products.map((row) => row[c] as Scalar));
      const meanSquare = (line: readonly Scalar[]): Scalar =>
        affine(sum(line.map((p) => mul(p, p))), 1 / line.length);
      return [lines.map(sum), lines.map(meanSquare), lines.map(largest)];
    },
  });
}

function silu(x: Scalar): Scalar {
  return div(x, affine(exp(affine(x, -1)), 1, 1));
}

function geluTanh(x: Scalar): Scalar {
  const inner = affine(add(x, affine(mul(x, mul(x, x)), 0.044715)), Math.sqrt(2 / Math.PI));
  return mul(affine(x, 0.5), affine(tanh(inner), 1, 1));
}

/** x · Φ(x), with the series of the error function. */
function geluExact(x: Scalar): Scalar {
  const z = x.value / Math.SQRT2;
  let term = z;
  let erf = 0;
  for (let n = 0; n < 40; n++) {
    erf += term / (2 * n + 1);
    term *= (-z * z) / (n + 1);
  }
  erf *= 2 / Math.sqrt(Math.PI);
  const density = Math.exp(-(x.value ** 2) / 2) / Math.sqrt(2 * Math.PI);
  return mul(x, new Scalar((1 + erf) / 2, [x], [density]));
}

function gatedTest(
  name: string,
  engine: (gate: Tensor, up: Tensor) => Tensor,
  activation: (x: Scalar) => Scalar,
): SelfTest {
  const shape = name.includes("exact") ? [5, 33] : [9, 36];
  return differentiable({
    family: "gated activations",
    name,
    inputs: operands({ gate: shape, up: shape }),
    engine: ({ gate, up }) => engine(gate, up),
    definition: ({ gate, up }) => gate.map((g, i) => mul(activation(g), up[i] as Scalar)),
  });
}

function packedGatedTest(): SelfTest {
  const cols = 36;
  return differentiable({
    family: "gated activations",
    name: "packed SwiGLU",
    inputs: operands({ x: [9, 2 * cols] }),
    engine: ({ x }) => packedSwiglu(x),
    definition: ({ x }) =>
      rowsOf(x, 2 * cols).flatMap((row) =>
        row.slice(0, cols).map((gate, c) => mul(silu(gate), row[cols + c] as Scalar)),
      ),
  });
}

/** Pairs (i, i + half) or (2i, 2i + 1) turn by position · theta^(−2i / size). */
function ropeTest(name: string, isInterleaved: boolean): SelfTest {
  const [tokens, heads, size] = [11, 2, 16];
  const theta = 1000;
  const positions = Uint32Array.from({ length: tokens }, (_, t) => 3 * t);
  return differentiable({
    family: "rotary embedding",
    name,
    inputs: operands({ x: [tokens, heads, size] }),
    engine: ({ x }) => rope(x, tensor(positions), { theta, isInterleaved }),
    definition: ({ x }) =>
      rowsOf(x, size).flatMap((head, row) => {
        const position = Number(positions[Math.floor(row / heads)]);
        const turned = [...head];
        for (let i = 0; i < size / 2; i++) {
          const [p, q] = isInterleaved ? [2 * i, 2 * i + 1] : [i, i + size / 2];
          const angle = position * theta ** ((-2 * i) / size);
          const [a, b] = [head[p] as Scalar, head[q] as Scalar];
          const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
          turned[p] = sub(affine(a, cos), affine(b, sin));
          turned[q] = add(affine(a, sin), affine(b, cos));
        }
        return turned;
      }),
  });
}
