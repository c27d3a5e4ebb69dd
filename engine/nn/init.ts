/** How weights start. Each scheme is a function of the shape and a generator. */
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Random } from "./random.ts";

/** Initial values of a weight [..., in, out]; a number is that of every element. */
export type Init = (shape: Shape, random: Random) => Float32Array | number;

/** An {@link Init} that draws every element. */
export type DrawnInit = (shape: Shape, random: Random) => Float32Array;

function drawn(shape: Shape, draw: () => number): Float32Array {
  return Float32Array.from({ length: sizeOf(shape) }, draw);
}

/** Inputs and outputs that a weight [..., in, out] joins; a vector's are its length. */
function fans(shape: Shape): { fanIn: number; fanOut: number } {
  const fanOut = shape.at(-1) ?? 1;
  return { fanIn: shape.length > 1 ? sizeOf(shape.slice(0, -1)) : fanOut, fanOut };
}

/** The same value everywhere. */
export function constantInit(value: number): Init {
  return () => value;
}

/** Normal with mean 0. */
export function normalInit(std: number): DrawnInit {
  return (shape, random) => drawn(shape, () => std * random.normal());
}

/** Uniform in [−bound, bound). */
export function uniformInit(bound: number): DrawnInit {
  return (shape, random) => drawn(shape, () => bound * (2 * random.uniform() - 1));
}

/** Normal with variance gain² · 2 / (in + out). Source: Glorot & Bengio 2010, AISTATS, eq. 12. */
export function xavierNormalInit(gain = 1): DrawnInit {
  return (shape, random) => {
    const { fanIn, fanOut } = fans(shape);
    return normalInit(gain * Math.sqrt(2 / (fanIn + fanOut)))(shape, random);
  };
}

/** Uniform with the variance of {@link xavierNormalInit}. Source: Glorot & Bengio 2010, AISTATS, eq. 16. */
export function xavierUniformInit(gain = 1): DrawnInit {
  return (shape, random) => {
    const { fanIn, fanOut } = fans(shape);
    return uniformInit(gain * Math.sqrt(6 / (fanIn + fanOut)))(shape, random);
  };
}

/** Normal with variance gain² / in; the default gain √2 is ReLU's. Source: He et al. 2015, arXiv:1502.01852, eq. 10. */
export function kaimingNormalInit(gain: number = Math.SQRT2): DrawnInit {
  return (shape, random) => normalInit(gain / Math.sqrt(fans(shape).fanIn))(shape, random);
}

/**
 * Uniform with the variance of {@link kaimingNormalInit}. PyTorch's `nn.Linear` starts with gain 1/√3: bound 1/√in.
 * Source: He et al. 2015, arXiv:1502.01852, eq. 10.
 */
export function kaimingUniformInit(gain: number = Math.SQRT2): DrawnInit {
  return (shape, random) => uniformInit(gain * Math.sqrt(3 / fans(shape).fanIn))(shape, random);
}

/**
 * gain times a matrix whose columns are orthonormal, or whose rows are where there are fewer of those, uniformly drawn:
 * Gram-Schmidt over normal vectors. The axes before the last count as one.
 * Source: Saxe et al. 2014, arXiv:1312.6120.
 */
export function orthogonalInit(gain = 1): DrawnInit {
  return (shape, random) => {
    const { fanIn, fanOut } = shape.length > 1 ? fans(shape) : { fanIn: 1, fanOut: sizeOf(shape) };
    const isTall = fanIn >= fanOut;
    const basis = orthonormal(Math.min(fanIn, fanOut), Math.max(fanIn, fanOut), random);
    return Float32Array.from({ length: fanIn * fanOut }, (_, i) => {
      const [row, column] = [Math.floor(i / fanOut), i % fanOut];
      const entry = isTall ? basis[column]?.[row] : basis[row]?.[column];
      return gain * (entry as number);
    });
  };
}

/** `count` orthonormal vectors of length `size` ≥ `count`. */
function orthonormal(count: number, size: number, random: Random): Float64Array[] {
  const basis: Float64Array[] = [];
  const dot = (a: Float64Array, b: Float64Array): number =>
    a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
  while (basis.length < count) {
    const vector = Float64Array.from({ length: size }, () => random.normal());
    // once more: the first pass leaves what cancellation has spoilt (Giraud et al. 2005, doi:10.1007/s00211-005-0615-4)
    for (const other of [...basis, ...basis]) {
      const along = dot(vector, other);
      for (let i = 0; i < size; i++)
        vector[i] = (vector[i] as number) - along * (other[i] as number);
    }
    const length = Math.sqrt(dot(vector, vector));
    basis.push(vector.map((x) => x / length));
  }
  return basis;
}

/**
 * Normal with std / √(2 · layers), for projections that add to a residual stream: two a layer.
 * Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", §2.3.
 */
export function residualInit(layers: number, std = 0.02): DrawnInit {
  return normalInit(std / Math.sqrt(2 * layers));
}
